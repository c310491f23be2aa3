"""The folder of a run: the names of its files, the claims in it, and how far the run has come.

Training writes these files; sweeps and results read them. A folder that a sweep started has a
file ``claim.N.json`` for its N-th attempt, from 0: the claim with the highest number counts. How
a claim is taken, and when its owner counts as dead, is the business of ``sweeping.claims``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from imbalance_splits.whole_files import whole_file
from ndcl_domainbed.processes import Process

RECORDS_FILE = "results.jsonl"
DONE_FILE = "done"
OUT_FILE = "out.txt"
ERR_FILE = "err.txt"
MODEL_FILE = "model.pkl"
BEST_MODEL_FILE = "model_best.pkl"
RESUME_FILE = "resume.pt"
SPLIT_FILE = "split.json"
LOCK_FILE = ".lock"

JOBS_FILE = "jobs.jsonl"
"""In the folder of a sweep: the arguments of its jobs."""

INTERRUPTED, PAUSED = "interrupted", "paused"
"""How an attempt may end that another resumes: a paused one came as far as it was asked to."""

DONE, FAILED, UNFINISHED, NOT_STARTED = "done", "failed", "unfinished", "not started"
STOPPED = "stopped"
"""The state of a draw that a sweep has given up before its end: neither failed nor to be done."""

RUNNING, WAITING = "running", "waiting"
"""States that only a sweep can tell apart: whether a process works on the run."""

_STOPPED = ("KeyboardInterrupt", "SystemExit", "stopped by ")
_ERR_TAIL = 65536
_RECORDS_TAIL = 65536


def folder_name(train_args: dict[str, Any]) -> str:
    """Return the name of a job's folder: DomainBed's, the MD5 digest of the arguments' JSON.

    >>> folder_name({"dataset": "PACS", "test_envs": [0]})
    '35d4043ee3ff3517a442b7364bb11a61'
    """
    text = json.dumps(train_args, sort_keys=True)
    return hashlib.md5(text.encode("utf-8"), usedforsecurity=False).hexdigest()


def files_in(folder: Path) -> list[str]:
    """Return the names of the files in ``folder``; none if it is missing or cannot be read."""
    try:
        return [path.name for path in folder.iterdir()]
    except (FileNotFoundError, PermissionError):
        return []


@dataclass(frozen=True)
class End:
    """How an attempt ended: ``outcome`` is done, failed, interrupted, paused or stopped.

    ``crashed`` tells an attempt that broke down, which may go well another time, from one that
    ended with an error of its own, which will come again. ``at`` is for people to read only.
    """

    outcome: str
    reason: str = ""
    crashed: bool = False
    at: float = 0.0


@dataclass(frozen=True)
class Claim:
    """A claim as it stands in the folder of a job; ``since`` is for people to read only."""

    path: Path
    number: int
    owner: Process | None
    since: float
    end: End | None

    def finish(self, outcome: str, reason: str = "", *, crashed: bool = False) -> None:
        """Write how the attempt ended. Only for its owner, or for the one who saw it die."""
        ended = dataclasses.replace(self, end=End(outcome, reason, crashed, time.time()))
        with whole_file(self.path) as partial:
            partial.write_text(ended.to_json())

    def touch(self) -> None:
        """Show that the owner lives: set the file's time by the file system's clock."""
        os.utime(self.path)

    def is_lost(self) -> bool:
        """Whether another process has taken the job over, or the job was deleted.

        Raises OSError if the file system does not say: Path.exists would call that "no".
        """
        if claim_path(self.path.parent, self.number + 1).exists():
            return True
        try:
            self.path.stat()
        except FileNotFoundError:
            return True
        return False

    def to_json(self) -> str:
        """Return the content of the claim's file."""
        content = {
            "owner": dataclasses.asdict(self.owner) if self.owner else None,
            "since": self.since,
            "end": dataclasses.asdict(self.end) if self.end else None,
        }
        return json.dumps(content, sort_keys=True, indent=1) + "\n"


def claim_path(folder: Path, number: int) -> Path:
    """Return the file of the claim of attempt ``number``."""
    return folder / f"claim.{number}.json"


def latest_claim(folder: Path, names: Iterable[str] | None = None) -> Claim | None:
    """Return the claim of the last attempt, or None if the job was never started.

    ``names`` are the names of the folder's files, where they are known already.
    """
    numbers = _claim_numbers(files_in(folder) if names is None else names)
    return _read_claim(folder, numbers[-1]) if numbers else None


def all_claims(folder: Path) -> list[Claim]:
    """Return the claims of all attempts at a job, the first one first."""
    return [_read_claim(folder, number) for number in _claim_numbers(files_in(folder))]


def _claim_numbers(names: Iterable[str]) -> list[int]:
    """Return the numbers of the claims among the files of a folder, sorted."""
    found = (re.fullmatch(r"claim\.(\d+)\.json", name) for name in names)
    return sorted(int(match[1]) for match in found if match)


def _read_claim(folder: Path, number: int) -> Claim:
    """Return the claim in a file; one that cannot be read has an unknown owner and no end."""
    path = claim_path(folder, number)
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        owner = Process(**content["owner"])
        end = End(**content["end"]) if content["end"] else None
        return Claim(path, number, owner, content["since"], end)
    except (OSError, ValueError, KeyError, TypeError):
        return Claim(path, number, None, 0.0, None)


@dataclass(frozen=True)
class State:
    """The state of a run; ``claim`` is the one of the last attempt, if any.

    ``error`` is the last line of ``err.txt`` where that is why the run failed.
    """

    name: str
    claim: Claim | None = None
    error: str = ""

    @property
    def _end(self) -> End | None:
        return self.claim.end if self.claim and self.name in (FAILED, STOPPED) else None

    @property
    def reason(self) -> str:
        """Why the run failed or was stopped, on one line; empty if it was not."""
        text = self._end.reason if self._end else self.error
        return " ".join(text.split())

    @property
    def crashed(self) -> bool:
        """Whether the run failed by breaking down, and not with an error of its own."""
        return bool(self._end and self._end.crashed)

    @property
    def next_attempt(self) -> int:
        """The number that the claim of the next attempt gets."""
        return self.claim.number + 1 if self.claim else 0


def read_state(folder: Path, names: Iterable[str] | None = None) -> State:
    """Return how the run in ``folder`` ended: done, failed, stopped, unfinished or not started.

    A run is done when it says so (``done``). Otherwise the claim of its last attempt tells whether
    that failed or was stopped; without a claim, the run failed if its ``err.txt`` ends with an
    error. Anything else, running or killed, is unfinished. ``names`` as in :func:`latest_claim`.
    """
    names = set(files_in(folder) if names is None else names)
    claim = latest_claim(folder, names)
    if DONE_FILE in names:
        return State(DONE, claim)
    if claim is not None:
        outcome = claim.end.outcome if claim.end else ""
        return State(outcome if outcome in (FAILED, STOPPED) else UNFINISHED, claim)
    error = _read_error(folder / ERR_FILE) if ERR_FILE in names else ""
    if error:
        return State(FAILED, error=error)
    return State(UNFINISHED if names else NOT_STARTED)


def _read_error(path: Path) -> str:
    """Return the error at the end of ``err.txt``; empty if there is none, or a stop by request."""
    try:
        text = path.read_bytes()[-_ERR_TAIL:].decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    if last.startswith(_STOPPED):
        return ""
    for line in reversed(lines[-2:]):  # a message has one line or two
        if line.startswith("error: "):
            return line.removeprefix("error: ")
    return last if "Traceback (most recent call last)" in text else ""


def read_data_digest(folder: Path) -> dict[str, Any] | None:
    """Return the digest of the data that a run was made on; None if its folder does not say."""
    try:
        content = json.loads((folder / SPLIT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    digest = content.get("data") if isinstance(content, dict) else None
    whole = isinstance(digest, dict) and digest.keys() >= {"images", "files", "labels", "table"}
    return digest if whole else None


def describe_data_change(then: dict[str, Any], now: dict[str, Any]) -> str:
    """Return what differs between two digests of data; empty if nothing does.

    >>> then = {"images": 90, "files": "a", "labels": "b", "table": "c"}
    >>> describe_data_change(then, {**then, "images": 91, "files": "d"})
    'the dataset had 90 images and has 91'
    """
    changes = []
    if then["images"] != now["images"]:
        changes.append(f"the dataset had {then['images']:,} images and has {now['images']:,}")
    elif then["files"] != now["files"]:
        changes.append("image files were renamed, replaced or changed in size")
    elif then["labels"] != now["labels"]:
        changes.append("the labels of the images changed")
    if then["table"] != now["table"]:
        changes.append("the training counts of --imbalance, or the list's own split, changed")
    return "; ".join(changes)


def finished_steps(folder: Path) -> int:
    """Return how many steps a run has finished, by the last whole record it has written."""
    try:
        with (folder / RECORDS_FILE).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            tail = _RECORDS_TAIL
            while not (steps := _last_step(file, size - tail)) and tail < size:
                tail *= 2  # a record with the accuracies of many classes
            return steps
    except OSError:
        return 0


def _last_step(file: BinaryIO, start: int) -> int:
    """Return the steps of the last whole record that begins at ``start`` or later, or 0."""
    file.seek(max(0, start))
    for line in reversed(file.read().split(b"\n")[:-1]):
        try:
            return int(json.loads(line)["step"]) + 1
        except (ValueError, KeyError, TypeError):
            continue
    return 0
