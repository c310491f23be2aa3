"""What was parsed once is not parsed again: a file in the folder of the runs, safe to delete.

An entry holds as long as its file has the same size, modification time and inode. A file that
was modified within two seconds before it was read is not kept, since a second change within the
clock's step would not show. Marks such as ``done`` are never kept. A cache that is damaged, or
made by another version of the parser, is not used; a folder that cannot be written to has none.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
from pathlib import Path

import numpy as np

from ndcl_domainbed.results import identity, names, parsing, store
from ndcl_domainbed.results.folders import Found
from ndcl_domainbed.results.parallel import parse_files
from ndcl_domainbed.results.store import Store

FILE_NAME = ".ndcl_results_cache.npz"
LEAST_BYTES = 4 * 2**20
"""A smaller amount is parsed faster than one would notice: no file is left in the folder."""

_SETTLED_NS = 2 * 10**9


def read_files(found: Found) -> Store:
    """Return the content of all files that were found, in their order, from the cache if it can."""
    started = time.time_ns()
    path = Path(found.root) / FILE_NAME
    known = _known(path, found)
    position = {folder: number for number, folder in enumerate(known.folders)}
    kept, missing = [], []
    for file in found.files:
        number = position.get(file.folder, -1)
        if number >= 0 and tuple(known.keys[number].tolist()) == file.key:
            kept.append(number)
        else:
            missing.append(file)
    if not missing and len(kept) == len(known.folders):
        return known  # both are sorted by folder
    parsed = parse_files(missing)
    whole = Store.joined([known.take(np.array(kept, dtype=np.int64)), parsed])
    order = sorted(range(len(whole.folders)), key=whole.folders.__getitem__)
    whole = whole.take(np.array(order, dtype=np.int64))
    if int(whole.keys[:, 0].sum()) >= LEAST_BYTES:
        _write(path, whole, started)
    return whole


def _header() -> str:
    """Return what the entries depend on besides their files: the code that made them."""
    digest = hashlib.sha256()
    for module in (identity, names, parsing, store):
        source = Path(str(module.__file__))
        digest.update(source.read_bytes() if source.exists() else b"")
    return f"ndcl-domainbed results 2 {digest.hexdigest()}"


def _known(path: Path, found: Found) -> Store:
    if not found.files or not path.exists():
        return Store()
    known = Store.read(path, _header())
    if known is None:
        return Store()
    known.folders = [os.path.join(found.root, name) for name in known.folders]  # noqa: PTH118
    return known


def _write(path: Path, whole: Store, started: int) -> None:
    settled = whole.take(np.flatnonzero(whole.keys[:, 1] < started - _SETTLED_NS))
    relative = [os.path.relpath(folder, path.parent) for folder in settled.folders]
    settled = dataclasses.replace(settled, folders=relative)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        try:
            with partial.open("wb") as file:
                settled.write(file, _header())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError:  # read-only or full: tables do not need the cache
        return
