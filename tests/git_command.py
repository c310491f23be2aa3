"""Calls git, as some user."""

import subprocess
from pathlib import Path


def git(folder: Path, *arguments: str) -> str:
    """Run git in ``folder`` and return what it prints."""
    user = ("-c", "user.name=a user", "-c", "user.email=user@localhost")
    command = ["git", "-C", str(folder), *user, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
