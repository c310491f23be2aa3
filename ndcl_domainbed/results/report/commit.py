"""Which commit of the package made the page, where the package lies in a git checkout."""

from __future__ import annotations

from pathlib import Path

from ndcl_domainbed import version
from ndcl_domainbed.git import NoAnswer, ask_git, short_commit

PACKAGES = ("ndcl_domainbed", "imbalance_splits")


def commit(root: Path | None = None) -> str:
    """Return "commit 1a2b3c4" of the checkout whose folder ``root`` holds the package.

    ", with changes" follows if a tracked file differs from the commit, or if the packages have
    a file that it lacks. Nothing where there is no git, or where the package is only a guest in
    a checkout, as in a virtual environment.
    """
    at = Path(version.__file__).parents[1] if root is None else root
    try:
        ask_git(at, "ls-files", "--error-unmatch", f"{PACKAGES[0]}/version.py")
        number = short_commit(at)
        changes = ask_git(at, "status", "--porcelain", "--untracked-files=no")
        new = ask_git(at, "ls-files", "--others", "--exclude-standard", "--", *PACKAGES)
    except NoAnswer:
        return ""
    return f"commit {number}{', with changes' if changes or new else ''}"
