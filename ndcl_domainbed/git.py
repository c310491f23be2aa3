"""Asks git about the checkout that a folder lies in."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SECONDS = 10
"""A git that takes longer (a network folder) is not waited for."""


class NoAnswer(Exception):
    """There is no git here, no checkout, or no answer in time."""


def ask_git(folder: Path, *arguments: str) -> str:
    """Return what git prints for ``arguments`` in ``folder``. Raises NoAnswer.

    It neither locks anything nor follows the environment to another checkout.
    """
    variables = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
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
    except (OSError, subprocess.SubprocessError) as error:
        raise NoAnswer from error


def short_commit(folder: Path) -> str:
    """Return the short name of the commit that is checked out in ``folder``. Raises NoAnswer."""
    return ask_git(folder, "rev-parse", "--short", "HEAD")
