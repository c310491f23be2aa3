"""Jobs that a sweep has listed (``jobs.jsonl``) and that have no record yet."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from ndcl_domainbed.results.folders import state_of
from ndcl_domainbed.results.identity import Identity, identity, is_whole


def pending_jobs(
    manifests: Iterable[str], known: set[Identity]
) -> Iterator[tuple[str, Identity, str, str]]:
    """Yield (folder, identity, state, why it failed) of every listed job that is not ``known``."""
    for manifest in manifests:
        for args in _listed(Path(manifest)):
            job = identity(args)
            if job not in known:
                folder = Path(manifest).parent / _folder_name(args)
                state, why = state_of(str(folder), (folder / "done").exists())
                yield str(folder), job, state, why


def _listed(manifest: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = manifest.read_bytes().split(b"\n")
    except OSError:
        return
    seen = set()
    for line in lines:
        try:
            args = orjson.loads(line)["args"]
        except (ValueError, KeyError, TypeError):  # torn, or not ours
            continue
        if is_whole(args) and line not in seen:
            seen.add(line)
            yield args


def _folder_name(args: dict[str, Any]) -> str:
    """Return the name of a job's folder: the MD5 digest of its arguments' JSON, sorted by key."""
    text = json.dumps(args, sort_keys=True).encode()
    return hashlib.md5(text, usedforsecurity=False).hexdigest()
