"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; rename it to ``path`` when the block ends without an error.

    The written file reaches the disk before the rename, so ``path`` holds the old content or the
    new one whatever happens in between. On an error the partial file is removed.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` with a path aside, then move what it wrote to ``path``."""
    with whole_file(path) as partial:
        write(partial)


def remove_partial_files(folder: Path) -> None:
    """Remove what processes that were killed while writing left aside in ``folder``."""
    for path in folder.glob(".*.partial"):
        path.unlink(missing_ok=True)
