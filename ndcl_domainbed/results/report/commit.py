"""Which commit of the package made the page, where the package lies in a git checkout."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ndcl_domainbed import version

PACKAGES = ("ndcl_domainbed", "imbalance_splits")
SECONDS = 10
"""A git that takes longer (a network folder) is not waited for."""


def commit(root: Path | None = None) -> str:
    """Return "commit 1a2b3c4" of the checkout whose folder ``root`` holds the package.

    ", with changes" follows if a tracked file differs from the commit, or if the packages have
    a file that it lacks. Nothing where there is no git, or where the package is only a guest in
    a checkout, as in a virtual environment.
    """
    at = Path(version.__file__).parents[1] if root is None else root
    try:
        _git(at, "ls-files", "--error-unmatch", f"{PACKAGES[0]}/version.py")
        number = _git(at, "rev-parse", "--short", "HEAD")
        changes = _git(at, "status", "--porcelain", "--untracked-files=no")
        new = _git(at, "ls-files", "--others", "--exclude-standard", "--", *PACKAGES)
    except (OSError, subprocess.SubprocessError):
        return ""
    return f"commit {number}{', with changes' if changes or new else ''}"


def _git(folder: Path, *arguments: str) -> str:
    """Return what git prints. It neither locks anything nor follows the environment elsewhere."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    return subprocess.run(
        command,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=True,
        timeout=SECONDS,
    ).stdout.strip()
