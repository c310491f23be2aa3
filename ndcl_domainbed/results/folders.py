"""Finding runs on disk: which folders hold one, and how far each has come."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from imbalance_splits.errors import InputError

RECORDS = "results.jsonl"
MANIFEST = "jobs.jsonl"
DONE, UNFINISHED, FAILED, WAITING = "done", "unfinished", "failed", "not started"

_CLAIM = re.compile(r"claim\.\d+\.json")
_STOPPED = ("KeyboardInterrupt", "SystemExit", "stopped by ")


@dataclass(frozen=True)
class RunFile:
    """A file of records as it was when it was found: the key under which it may be cached."""

    folder: str
    size: int
    mtime_ns: int
    inode: int
    done: bool

    @property
    def path(self) -> str:
        """The path of the file."""
        return os.path.join(self.folder, RECORDS)  # noqa: PTH118 (Path costs 5x, 47,520 times)

    @property
    def key(self) -> tuple[int, int, int]:
        """What changes whenever the content does."""
        return self.size, self.mtime_ns, self.inode


@dataclass
class Found:
    """The runs under one folder, by name; run folders without records; lists of a sweep's jobs."""

    root: str
    files: list[RunFile] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    manifests: list[str] = field(default_factory=list)


def find_runs(root: str | Path) -> Found:
    """Return all runs at any depth under ``root``. Raises InputError if it is no folder."""
    path = Path(root)
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise InputError(f"{path} {what}; --input_dir takes a folder of runs, as sweep makes it")
    found = Found(str(path.resolve()))
    for folder, entries in _walk(found.root):
        if entries is None:
            found.empty.append(folder)
            continue
        if MANIFEST in entries:
            found.manifests.append(entries[MANIFEST].path)
        records = entries.get(RECORDS)
        if records is not None:
            stat = records.stat()
            found.files.append(
                RunFile(folder, stat.st_size, stat.st_mtime_ns, stat.st_ino, "done" in entries)
            )
        elif "err.txt" in entries or "out.txt" in entries:
            found.empty.append(folder)
    found.files.sort(key=lambda file: file.folder)
    found.empty.sort()
    return found


def _walk(root: str) -> Iterator[tuple[str, dict[str, os.DirEntry[str]] | None]]:
    """Yield (folder, its files by name), following links to folders but never round in a loop.

    A folder that may not be read comes with None.
    """
    pending, linked = [root], {root}
    while pending:
        folder = pending.pop()
        files: dict[str, os.DirEntry[str]] = {}
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not _is_folder(entry):
                        files[entry.name] = entry
                    elif not entry.is_symlink():
                        pending.append(entry.path)
                    elif (real := str(Path(entry.path).resolve())) not in linked:
                        linked.add(real)
                        pending.append(entry.path)
        except FileNotFoundError:  # gone since it was listed
            continue
        except OSError:
            yield folder, None
            continue
        yield folder, files


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def state_of(folder: str, done: bool) -> tuple[str, str]:
    """Return how far the run in ``folder`` has come and, if it failed, why (one line).

    A run is done when it says so (``done``). Else the claim of its last attempt tells whether
    that failed; without a claim, it has failed if its ``err.txt`` ends with an error. Anything
    else (running, killed) is unfinished.
    """
    if done:
        return DONE, ""
    try:
        claims = [name for name in os.listdir(folder) if _CLAIM.fullmatch(name)]  # noqa: PTH208
    except OSError:
        return WAITING, ""
    if claims:
        return _by_claim(Path(folder, max(claims, key=lambda name: int(name.split(".")[1]))))
    try:
        text = Path(folder, "err.txt").read_bytes()[-4000:].decode("utf-8", "replace")
    except OSError:
        return UNFINISHED, ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    broke = "Traceback (most recent call last)" in text and not last.startswith(_STOPPED)
    if broke or last.startswith("error: "):
        return FAILED, last.removeprefix("error: ")
    return UNFINISHED, ""


def _by_claim(path: Path) -> tuple[str, str]:
    try:
        end = orjson.loads(path.read_bytes())["end"]
    except (OSError, ValueError, TypeError, KeyError):
        return UNFINISHED, ""
    if isinstance(end, dict) and end.get("outcome") == FAILED:
        return FAILED, " ".join(str(end.get("reason", "")).split())
    return UNFINISHED, ""
