"""A large sweep that has not changed is not parsed again: two Parquet files in its folder.

They need pyarrow, hold for the same files in their sizes, times and inodes and for the same version
of the parser, and can always be deleted.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pandas as pd

from imbalance_splits import shots
from imbalance_splits.whole_files import whole_file
from ndcl_domainbed.results import identity, names, parsing
from ndcl_domainbed.results.folders import Found
from ndcl_domainbed.run_folder import RECORDS_FILE

FILE_NAMES = (".ndcl_runs_cache.parquet", ".ndcl_records_cache.parquet")
MIN_RUNS = 2_000
"""A smaller sweep is parsed faster than one would notice: no file is left in its folder."""

_SETTLED_NS = 2 * 10**9
"""A second change within the clock's step would not show, so what was just written is not kept."""


def read_runs(found: Found, *, details: bool = False) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what :func:`parsing.parse_folders` does, from the cache if it can.

    The cache has no ``details``: with them, every file is parsed.
    """
    if details or len(found.is_done) < MIN_RUNS:
        return parsing.parse_folders(found.is_done, details=details)
    key = _describe_files(found)
    paths = [Path(found.roots[0], name) for name in FILE_NAMES]
    try:
        runs, records = map(pd.read_parquet, paths)
        if runs.attrs == records.attrs == {"key": key}:
            return runs, records
    except (ImportError, OSError, ValueError):  # no pyarrow, no cache, or a damaged one
        pass
    runs, records = parsing.parse_folders(found.is_done)
    if key:
        for table, path in zip((runs, records), paths, strict=True):
            table.attrs = {"key": key}
            _write(table, path)
    return runs, records


def _describe_files(found: Found) -> str:
    """Return a digest of the files' states and of the parser; empty if one was just written."""
    modules = (identity, names, parsing, shots)
    digest = hashlib.sha256(b"".join(Path(str(one.__file__)).read_bytes() for one in modules))
    newest = 0
    for folder in found.is_done:
        try:
            state = os.stat(f"{folder}/{RECORDS_FILE}")  # noqa: PTH116, a Path takes as long again
        except OSError:  # gone since it was listed
            return ""
        digest.update(f"{folder}\0{state.st_size} {state.st_mtime_ns} {state.st_ino}\n".encode())
        newest = max(newest, state.st_mtime_ns)
    return digest.hexdigest() if newest < time.time_ns() - _SETTLED_NS else ""


def _write(table: pd.DataFrame, path: Path) -> None:
    try:
        with whole_file(path) as partial:
            table.to_parquet(partial, index=False)
    except (ImportError, OSError):  # no pyarrow; read-only or full: tables do not need the cache
        return
