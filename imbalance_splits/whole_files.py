"""Files that appear whole or not at all, and the folders that they go into."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from imbalance_splits.errors import InputError


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, unless it is there; InputError if it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be made ({error.strerror}).") from None


def write_whole(path: Path, content: str | bytes) -> None:
    """Write ``content`` beside ``path`` and rename it into place.

    What is there and no file (a pipe, ``/dev/stdout``) is written to as it stands: renaming would
    put a file in its place. Raises InputError if the folder does not exist or cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            umask = os.umask(0)
            os.umask(umask)
            Path(aside).chmod(0o666 & ~umask)  # mkstemp makes files that only the owner may read
            Path(aside).replace(path)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}).") from None
