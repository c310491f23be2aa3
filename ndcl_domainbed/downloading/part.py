"""The beginning of a file that is being fetched, kept on disk for the next try."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from imbalance_splits.errors import InputError
from imbalance_splits.whole_files import write_whole


class Origin(NamedTuple):
    """Where a part came from: address, the host's mark of the version, and its whole size."""

    url: str = ""
    validator: str | None = None
    total: int | None = None


class Part:
    """What has arrived of ``final``, in ``NAME.part`` beside it, and whence, in a JSON file."""

    def __init__(self, final: Path) -> None:
        self._final = final
        self.path = final.with_name(final.name + ".part")
        self._note = final.with_name(final.name + ".part.json")
        self.origin = self._read_origin()
        self.size = self.path.stat().st_size if self.path.is_file() else 0

    def _read_origin(self) -> Origin:
        """Return what was noted; nothing if the note is missing or torn."""
        try:
            return Origin(**json.loads(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return Origin()

    @property
    def is_whole(self) -> bool:
        """Say whether all the bytes that the host announced are here."""
        return self.size > 0 and self.size == self.origin.total

    def start(self, origin: Origin) -> None:
        """Begin an empty part."""
        with local_files(self.path):
            self.path.write_bytes(b"")
        write_whole(self._note, json.dumps(origin._asdict()))
        self.origin, self.size = origin, 0

    @contextmanager
    def writing(self) -> Iterator[Callable[[bytes], None]]:
        """Open the part for appending and give the function that appends."""
        with local_files(self.path):
            file = self.path.open("ab", buffering=0)

        def append(chunk: bytes) -> None:
            with local_files(self.path):
                file.write(chunk)
            self.size += len(chunk)

        with file:
            yield append

    def discard(self) -> None:
        """Forget what has arrived."""
        with local_files(self.path):
            self.path.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)
        self.origin, self.size = Origin(), 0

    def finish(self) -> None:
        """Give the file its final name."""
        with local_files(self._final):
            self.path.replace(self._final)
            self._note.unlink(missing_ok=True)


@contextmanager
def local_files(path: Path) -> Iterator[None]:
    """Turn an error of the local disk into an InputError, so that no mirror is blamed for it."""
    try:
        yield
    except BrokenPipeError:  # of the output, whose reader has gone
        raise
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{error.filename or path}: cannot be used ({reason}).") from None
