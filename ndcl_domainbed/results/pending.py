"""Jobs that a sweep has listed (``jobs.jsonl``) and that have no record yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from ndcl_domainbed.results.identity import Identity, identity, is_whole
from ndcl_domainbed.run_folder import State, folder_name, read_state


def pending_jobs(
    manifests: Iterable[str], known: set[Identity]
) -> Iterator[tuple[str, Identity, State]]:
    """Yield folder, identity and state of every listed job that is not ``known``."""
    for manifest in manifests:
        for args in _list_jobs(Path(manifest)):
            job = identity(args)
            if job not in known:
                folder = Path(manifest).parent / folder_name(args)
                yield str(folder), job, read_state(folder)


def _list_jobs(manifest: Path) -> Iterator[dict[str, Any]]:
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
