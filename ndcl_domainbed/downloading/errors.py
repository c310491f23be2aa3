"""What can go wrong in a download: an address that fails, an archive that is bad, a full disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imbalance_splits.errors import InputError


class SourceFailure(Exception):
    """An address does not give the file; the message says why. Another one should be tried."""


class BadArchive(Exception):
    """An archive that is damaged, dangerous, or not what was expected.

    ``archive`` is the file in question, None if that is not clear.
    """

    def __init__(self, reason: str, archive: Path | None = None) -> None:
        super().__init__(reason)
        self.archive = archive


@contextmanager
def disk_errors_as_input_errors(path: Path) -> Iterator[None]:
    """Turn an error of the local disk into an InputError, so that no mirror is blamed for it."""
    try:
        yield
    except BrokenPipeError:  # of the output, whose reader has gone
        raise
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{error.filename or path}: cannot be used ({reason}).") from None
