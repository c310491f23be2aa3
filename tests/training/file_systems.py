"""File systems of a few megabytes, for tests of disks that are full or can only be read."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(disk: Path, options: str) -> Iterator[Path]:
    """Mount a tmpfs on the new folder ``disk``; the test is skipped where that is not allowed."""
    disk.mkdir()
    outcome = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if outcome.returncode:
        pytest.skip(f"no file system can be mounted here: {outcome.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
