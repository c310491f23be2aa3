"""Parsing on several cores.

The workers are plain processes that run ``worker.py``: they work from a notebook, from a script
without a main guard, and beside threads, where forking or spawning this process would not.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson

from ndcl_domainbed.results.folders import RunFile
from ndcl_domainbed.results.progress import shown
from ndcl_domainbed.results.store import Store, parsed_store

LEAST_BYTES = 24 * 2**20
"""From here on a second process is worth its start (about 0.2 s)."""

MOST_WORKERS = 16


def parse_files(files: Sequence[RunFile], cores: int | None = None) -> Store:
    """Read and parse ``files`` in their order, on all cores if there is enough to do."""
    size = sum(file.size for file in files)
    cores = min(cores or usable_cores(), MOST_WORKERS, size // LEAST_BYTES + 1)
    if cores < 2:
        return parsed_store(shown(files))
    shares = _shares(files, cores)
    workers = [_start(share) for share in shares[1:]]
    parts = [parsed_store(shown(shares[0]))]
    parts += [_result(worker, share) for worker, share in zip(workers, shares[1:], strict=True)]
    return Store.joined(parts)


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _shares(files: Sequence[RunFile], count: int) -> list[list[RunFile]]:
    """Return ``count`` runs of neighbouring files of about the same size together."""
    total = sum(file.size for file in files)
    shares: list[list[RunFile]] = [[] for _ in range(count)]
    done = 0
    for file in files:
        shares[min(count - 1, done * count // max(1, total))].append(file)
        done += file.size
    return shares


def _start(share: Sequence[RunFile]) -> subprocess.Popen[bytes] | None:
    """Start a worker on ``share``; None if no process can be started."""
    paths = [path for path in sys.path if path]
    try:
        worker = subprocess.Popen(
            [sys.executable, "-m", "ndcl_domainbed.results.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([*paths, str(Path.cwd())])},
        )
        assert worker.stdin is not None
        with worker.stdin as pipe:
            pipe.write(orjson.dumps([[file.folder, *file.key] for file in share]))
    except OSError:
        return None
    return worker


def _result(worker: subprocess.Popen[bytes] | None, share: Sequence[RunFile]) -> Store:
    """Return what a worker found; whatever went wrong with it, its files are parsed."""
    if worker is not None:
        assert worker.stdout is not None
        with worker.stdout as pipe:
            content = pipe.read()
        store = Store.read(io.BytesIO(content)) if worker.wait() == 0 else None
        if store is not None and len(store.folders) == len(share):
            return store
    return parsed_store(share)
