"""The files of a run: they appear whole or not at all; what to say if one cannot be written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imbalance_splits.whole_files import remove_partial_files, whole_file
from ndcl_domainbed.errors import RunFailure

__all__ = ["remove_partial_files", "whole_file", "writing"]


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
