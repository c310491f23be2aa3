"""What has become of a job, as its folder tells it."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ndcl_domainbed.sweeping import claims
from ndcl_domainbed.sweeping.claims import Claim, Watch
from ndcl_domainbed.sweeping.processes import holds_lock
from ndcl_domainbed.training.files import DONE_FILE

DONE, RUNNING, FAILED, WAITING = "done", "running", "failed", "waiting"
STATES = (DONE, RUNNING, FAILED, WAITING)

LOCK_FILE = ".lock"
"""The file that a run locks in its folder."""

TAIL = 65536
"""Bytes of ``results.jsonl`` in which its last record is looked for."""


@dataclass(frozen=True)
class State:
    """The state of a job: one of ``STATES``. ``claim`` is the one of the last attempt, if any."""

    name: str
    claim: Claim | None = None

    @property
    def reason(self) -> str:
        """Why the job failed; empty if it did not."""
        end = self.claim.end if self.claim else None
        return end.reason if end and self.name == FAILED else ""

    @property
    def crashed(self) -> bool:
        """Whether the job failed by breaking down, and not with an error of its own."""
        end = self.claim.end if self.claim else None
        return bool(end and end.crashed and self.name == FAILED)

    @property
    def next_attempt(self) -> int:
        """The number that the claim of the next attempt gets."""
        return self.claim.number + 1 if self.claim else 0


def read_state(folder: Path, watch: Watch | None = None) -> State:
    """Return the state of the job in ``folder``.

    A job whose owner has died is waiting: it goes on from its last checkpoint. ``watch`` is asked
    whether the owner lives; without one, a claim of another machine counts once it is stale.
    """
    names = claims.files_in(folder)
    state = _state_of(folder, names, watch)
    if state.name == WAITING and names and (folder / DONE_FILE).exists():
        return State(DONE, claims.latest(folder))  # it has ended since its files were listed
    return state


def _state_of(folder: Path, names: Sequence[str], watch: Watch | None) -> State:
    """Return the state of the job in ``folder``, whose files had these names a moment ago."""
    claim = claims.latest(folder, names)
    if DONE_FILE in names:
        return State(DONE, claim)
    if LOCK_FILE in names and holds_lock(folder / LOCK_FILE):
        return State(RUNNING, claim)  # perhaps without a claim: by train itself
    if claim is None:
        return State(WAITING)
    if claim.end is not None:
        return State(FAILED if claim.end.outcome == claims.FAILED else WAITING, claim)
    return State(WAITING if _abandoned(claim, watch) else RUNNING, claim)


def _abandoned(claim: Claim, watch: Watch | None) -> bool:
    if watch is not None:
        return watch.owner_is_dead(claim)
    here = claim.owner.runs_here() if claim.owner else None
    return claims.is_stale(claim) if here is None else not here


def finished_steps(folder: Path) -> int:
    """Return how many steps a job has finished, by the last whole record it has written."""
    try:
        with (folder / "results.jsonl").open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return 0
    for line in reversed(lines):
        try:
            return int(json.loads(line)["step"]) + 1
        except (ValueError, KeyError, TypeError):
            continue
    return 0


def count_line(states: Iterable[State]) -> str:
    """Return the number of jobs in each state, as one line."""
    count = Counter(state.name for state in states)
    parts = ", ".join(f"{count[name]} {name}" for name in STATES)
    return f"{count.total()} jobs: {parts}."
