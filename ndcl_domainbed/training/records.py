"""``results.jsonl``: one record a line, only ever appended to, its torn tail repaired."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple


class Repaired(NamedTuple):
    """What :func:`truncate_after` kept, and what it dropped."""

    kept: list[dict[str, Any]]
    later: int
    """How many whole records of later steps were dropped."""

    torn: bool
    """Whether a line that is no whole record was dropped."""


def append(path: Path, record: dict[str, Any]) -> None:
    """Append ``record`` as one line with sorted keys, in one write, and flush it to the disk.

    If the line cannot be written whole, what there is of it is removed. Raises OSError then, and
    ValueError for a number that JSON has no text for (NaN, infinity).
    """
    line = json.dumps(record, sort_keys=True, allow_nan=False) + "\n"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    size = os.fstat(handle).st_size
    try:
        view = memoryview(line.encode("utf-8"))
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(handle, size)
        raise
    finally:
        os.close(handle)


def read(path: Path) -> list[dict[str, Any]]:
    """Return the whole records in a file, none if it is missing; what is torn is left out."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [record for line in lines if (record := _parse(line)) is not None]


def truncate_after(path: Path, last_step: int) -> Repaired:
    """Cut the file back to its whole records up to ``last_step``.

    A run that resumes from step s may find records of later steps, written after the checkpoint
    that it resumes from, and a last line torn by a kill; both are dropped, for the run writes
    them again. A missing file has no records.
    """
    content = path.read_bytes() if path.exists() else b""
    kept: list[dict[str, Any]] = []
    size = later = 0
    torn = False
    for line in content.splitlines(keepends=True):
        record = _parse(line)
        if record is None:
            torn = True
            break
        if later or record["step"] > last_step:
            later += 1
            continue
        kept.append(record)
        size += len(line)
    if size < len(content):
        os.truncate(path, size)
    return Repaired(kept, later, torn)


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return the record in a line, or None if it is no whole record."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_record = isinstance(record, dict) and isinstance(record.get("step"), int)
    return record if is_record and line[-1:] == b"\n" else None
