"""Finding runs on disk: which folders hold one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from imbalance_splits.errors import InputError
from ndcl_domainbed.results.identity import is_whole
from ndcl_domainbed.run_folder import (
    DONE_FILE,
    ERR_FILE,
    JOBS_FILE,
    OUT_FILE,
    RECORDS_FILE,
    folder_name,
)


@dataclass
class Found:
    """The runs under some folders, ``roots``.

    ``is_done``: folder with records -> whether its run is done, by root, then by name. ``empty``:
    run folders without records. ``manifests``: lists of a sweep's jobs.
    """

    roots: list[str] = field(default_factory=list)
    is_done: dict[str, bool] = field(default_factory=dict)
    empty: set[str] = field(default_factory=set)
    manifests: list[Path] = field(default_factory=list)

    def jobs(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Yield the folder and the arguments of every job that a sweep has listed."""
        for manifest in self.manifests:
            try:
                lines = dict.fromkeys(manifest.read_bytes().split(b"\n"))
            except OSError:
                continue
            for line in lines:
                try:
                    args = orjson.loads(line)["args"]
                except (ValueError, KeyError, TypeError):  # torn, or not ours
                    continue
                if is_whole(args):  # without ``imbalance`` it would be DomainBed's own
                    yield manifest.parent / folder_name(args), {"imbalance": None, **args}


def find_runs(roots: list[str | Path]) -> Found:
    """Return all runs at any depth under ``roots``, links to folders followed.

    Raises InputError if one is no folder.
    """
    found = Found()
    for root in map(Path, roots):
        if not root.is_dir():
            what = "is not a folder" if root.exists() else "does not exist"
            raise InputError(
                f"{root} {what}; --input_dir takes a folder of runs, as sweep makes it"
            )
        found.roots.append(top := str(root.resolve()))
        here, linked, errors = {}, {top}, list[OSError]()
        for folder, folders, files in os.walk(top, followlinks=True, onerror=errors.append):
            links = [name for name in folders if os.path.islink(f"{folder}/{name}")]  # noqa: PTH114
            for name in links:
                real = str(Path(folder, name).resolve())
                if real in linked or Path(real).is_relative_to(top):  # not twice, nor in a loop
                    folders.remove(name)
                linked.add(real)
            if JOBS_FILE in files:
                found.manifests.append(Path(folder, JOBS_FILE))
            if RECORDS_FILE in files:
                here[folder] = DONE_FILE in files
            elif ERR_FILE in files or OUT_FILE in files:
                found.empty.add(folder)
        found.is_done |= dict(sorted(here.items()))
        gone = FileNotFoundError  # since it was listed
        found.empty |= {error.filename for error in errors if not isinstance(error, gone)}
    return found
