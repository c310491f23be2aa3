"""Which jobs of a sweep are done, run, have failed, or wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from ndcl_domainbed import run_folder
from ndcl_domainbed.processes import holds_lock
from ndcl_domainbed.run_folder import (
    DONE,
    DONE_FILE,
    FAILED,
    LOCK_FILE,
    RUNNING,
    STOPPED,
    WAITING,
    Claim,
    State,
)
from ndcl_domainbed.sweeping import claims
from ndcl_domainbed.sweeping.claims import ClaimWatch

STATES = (DONE, RUNNING, FAILED, WAITING)
"""The states of jobs, but for ``STOPPED``, which few sweeps have."""


def read_state(folder: Path, watch: ClaimWatch | None = None) -> State:
    """Return the state of the job in ``folder``: one of ``STATES``, or ``STOPPED``.

    A job whose owner has died is waiting: it resumes from its last checkpoint. ``watch`` is asked
    whether the owner lives; without one, a claim of another machine counts once it is stale. A run
    that failed without a claim, by ``train`` itself, waits as well.
    """
    names = run_folder.files_in(folder)
    state = _job_state(folder, names, watch)
    if state.name == WAITING and names and (folder / DONE_FILE).exists():
        return run_folder.read_state(folder)  # it has ended since its files were listed
    return state


def _job_state(folder: Path, names: Sequence[str], watch: ClaimWatch | None) -> State:
    """Return the state of the job in ``folder``, whose files had these names a moment ago."""
    state = run_folder.read_state(folder, names)
    claim = state.claim
    if state.name == DONE:
        return state
    if LOCK_FILE in names and holds_lock(folder / LOCK_FILE):
        return State(RUNNING, claim)  # perhaps without a claim: by train itself
    if claim is None:
        return State(WAITING)
    if claim.end is not None:
        return state if state.name in (FAILED, STOPPED) else State(WAITING, claim)
    return State(WAITING if _is_abandoned(claim, watch) else RUNNING, claim)


def _is_abandoned(claim: Claim, watch: ClaimWatch | None) -> bool:
    if watch is not None:
        return watch.owner_is_dead(claim)
    here = claim.owner.runs_here() if claim.owner else None
    return claims.is_stale(claim) if here is None else not here


def shown_states(names: Collection[str]) -> tuple[str, ...]:
    """Return the states that a count shows: ``STOPPED`` only if it is among ``names``."""
    return (*STATES, STOPPED) if STOPPED in names else STATES


def count_line(states: Iterable[State]) -> str:
    """Return the number of jobs in each state, as one line."""
    count = Counter(state.name for state in states)
    parts = ", ".join(f"{count[name]} {name}" for name in shown_states(count))
    return f"{count.total()} jobs: {parts}."
