"""What to say if a file of a run cannot be written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ndcl_domainbed.errors import RunFailure


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
            "What was written before is kept: once the file can be written, start again to resume."
        ) from error
