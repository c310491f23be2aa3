"""What was parsed once is not parsed again: a Parquet file in the folder of the runs.

It needs pyarrow; without it every file is parsed. A row per run, with its records as lists. A row
holds as long as its ``results.jsonl`` has the same size, modification time and inode. A file that
was modified within two seconds before it was read is not kept, since a second change within the
clock's step would not show. A cache that is damaged, or made by another version of the parser, is
not used; it can always be deleted.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imbalance_splits import shots
from imbalance_splits.whole_files import whole_file
from ndcl_domainbed.results import identity, names, parsing
from ndcl_domainbed.results.folders import Found
from ndcl_domainbed.results.record_table import RUN_COLUMNS, RecordTable, join_tables, parse_files

FILE_NAME = ".ndcl_results_cache.parquet"
LEAST_BYTES = 4 * 2**20
"""A smaller amount is parsed faster than one would notice: no file is left in the folder."""

_SETTLED_NS = 2 * 10**9
_VERSION = b"ndcl_results"


def read_files(found: Found, *, details: bool = False) -> RecordTable:
    """Return the content of all files that were found, in their order, from the cache if it can.

    The cache has no ``details``: with them, every file is parsed.
    """
    if details:
        return parse_files(found.files, details=True)
    started = time.time_ns()
    path = Path(found.root) / FILE_NAME
    cached = _read(path) if found.files else None
    if cached is None:
        return _remember(found, path, parse_files(found.files), started)
    keys = {file.folder: file.key for file in found.files}
    rows = cached.runs[["folder", "size", "mtime_ns", "inode"]].itertuples(index=False)
    is_current = np.array([keys.get(folder) == tuple(key) for folder, *key in rows], dtype=bool)
    known = set(cached.runs["folder"][is_current])
    missing = [file for file in found.files if file.folder not in known]
    if not missing and is_current.all():
        return cached
    table = join_tables([cached.keep(is_current), parse_files(missing)]).sort()
    return _remember(found, path, table, started)


def _remember(found: Found, path: Path, table: RecordTable, started: int) -> RecordTable:
    """Write the rows that may be kept to the cache; return ``table``."""
    if sum(file.size for file in found.files) >= LEAST_BYTES:
        _write(path, table.keep((table.runs["mtime_ns"] < started - _SETTLED_NS).to_numpy()))
    return table


def _version() -> bytes:
    """Return what the rows depend on besides their files: the code that made them."""
    modules = (identity, names, parsing, shots)
    sources = [Path(str(module.__file__)) for module in modules]
    content = b"".join(path.read_bytes() for path in sources if path.exists())
    return hashlib.sha256(content).hexdigest().encode()


def _write(path: Path, table: RecordTable) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return
    counts = np.bincount(table.records["run"], minlength=len(table.runs))
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    folders = [os.path.relpath(folder, path.parent) for folder in table.runs["folder"]]
    runs = table.runs.assign(folder=folders)
    columns: dict[str, Any] = {name: runs[name] for name in RUN_COLUMNS}
    for name in table.records.columns[1:]:
        columns[name] = pa.ListArray.from_arrays(offsets, pa.array(table.records[name].to_numpy()))
    content = pa.table(columns).replace_schema_metadata({_VERSION: _version()})
    try:
        with whole_file(path) as partial:
            pq.write_table(content, partial, use_dictionary=False, write_page_checksum=True)
    except OSError:  # read-only or full: tables do not need the cache
        return


def _read(path: Path) -> RecordTable | None:
    """Return the cached table; None if there is none that can be used."""
    try:
        import pyarrow.parquet as pq

        table = pq.read_table(path, page_checksum_verification=True)
        if (table.schema.metadata or {}).get(_VERSION) != _version():
            return None
        runs = table.select(list(RUN_COLUMNS)).to_pandas()
        lists = {
            name: table[name].combine_chunks()
            for name in table.column_names
            if name not in RUN_COLUMNS
        }
        counts = lists["step"].value_lengths().to_numpy()
    except (ImportError, OSError, ValueError, KeyError):
        return None
    folders = [os.path.join(path.parent, name) for name in runs["folder"]]  # noqa: PTH118
    numbers = {name: values.flatten().to_numpy() for name, values in lists.items()}
    run_of = np.repeat(np.arange(len(runs), dtype=np.int32), counts)
    records = pd.DataFrame({"run": run_of, **numbers}, copy=False)
    return RecordTable(runs.assign(folder=folders), records)
