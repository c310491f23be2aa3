"""``results.jsonl``: one record a line, only ever appended to, its torn tail repaired."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

FILE_NAME = "results.jsonl"


def append(path: Path, record: dict[str, Any]) -> None:
    """Append ``record`` as one line with sorted keys, in one write, and flush it to the disk.

    Raises ValueError for a number that JSON has no text for (NaN, infinity).
    """
    line = json.dumps(record, sort_keys=True, allow_nan=False) + "\n"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        view = memoryview(line.encode("utf-8"))
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def truncate_after(path: Path, last_step: int) -> list[dict[str, Any]]:
    """Cut the file back to its whole records up to ``last_step`` and return them.

    A run that goes on from step s may find records of later steps, written after the checkpoint
    that it goes on from, and a last line torn by a kill; both are dropped, for the run writes
    them again. A missing file has no records.
    """
    if not path.exists():
        return []
    kept: list[dict[str, Any]] = []
    size = 0
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, UnicodeDecodeError):
            break
        if not line.endswith(b"\n") or record["step"] > last_step:
            break
        kept.append(record)
        size += len(line)
    if size < path.stat().st_size:
        with path.open("r+b") as file:
            file.truncate(size)
    return kept
