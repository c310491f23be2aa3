"""Files that appear whole or not at all, and the folders that they go into."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imbalance_splits.errors import InputError


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, unless it is there; InputError if it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be made ({error.strerror}).") from None


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; rename it to ``path`` when the block ends without an error.

    The written file reaches the disk before the rename, so ``path`` holds the old content or the
    new one whatever happens in between. On an error the partial file is removed. Its name is its
    own: two machines that share a folder may have processes of the same number.

    What is there and no file (a pipe, ``/dev/stdout``) is written to as it stands: renaming would
    put a file in its place.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def remove_partial_files(folder: Path) -> None:
    """Remove what processes that were killed while writing left aside in ``folder``."""
    for path in folder.glob(".*.partial"):
        path.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write ``content`` to ``path`` as :func:`whole_file` does.

    Raises InputError if the folder does not exist or cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        with whole_file(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}).") from None


def write_in_folder(path: Path, content: str | bytes) -> None:
    """Do as :func:`write_whole`, having made the folder of ``path`` if it is missing."""
    make_folder(path.parent)
    write_whole(path, content)
