"""Files that appear whole or not at all, and what to say when they cannot be written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ndcl_domainbed.errors import RunFailure


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


@contextmanager
def writing(path: Path, when: str) -> Iterator[None]:
    """Raise RunFailure, with ``path`` and ``when``, if the block cannot write the file.

    For writing that leaves what was there before as it was.
    """
    try:
        yield
    except OSError as error:
        raise RunFailure(
            f"cannot write {path} {when}: {error.strerror or error}.\n"
            "What was written before is kept: once the file can be written, start again to go on."
        ) from error
