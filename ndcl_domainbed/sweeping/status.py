"""What ``sweep status`` shows: counts, progress, time to go, and what each running job does."""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from tabulate import tabulate

from ndcl_domainbed.run_folder import (
    DONE,
    FAILED,
    RUNNING,
    STOPPED,
    WAITING,
    State,
    finished_steps,
)
from ndcl_domainbed.sweeping import states
from ndcl_domainbed.sweeping.jobs import Job
from ndcl_domainbed.sweeping.pace import pace_of
from ndcl_domainbed.sweeping.slurm_queue import SlurmQueue
from ndcl_domainbed.sweeping.states import read_state
from ndcl_domainbed.sweeping.view import duration, outcome

PERIOD = 5.0
"""Seconds from one look to the next when watching."""

QUEUE_PERIOD = 30.0
"""The same while jobs only wait in a queue: a cluster's scheduler must not be asked often."""

CLEAR = "\x1b[H\x1b[2J"
"""What clears a terminal."""


def watch(jobs: Sequence[Job]) -> None:
    """Show the status until no job runs and none waits in a queue; on a terminal, in place.

    Raises RunFailure if the queue cannot be asked for long.
    """
    queue = SlurmQueue()
    found: dict[Job, State] = {}
    while True:
        done = {job: state for job, state in found.items() if state.name == DONE}
        found = {job: done.get(job) or read_state(job.folder) for job in jobs}
        lines, pause = look(found, queue)
        print("\n".join([CLEAR * sys.stdout.isatty() + lines[0], *lines[1:]]), flush=True)
        if not pause:
            return
        time.sleep(pause)


def look(found: Mapping[Job, State], queue: SlurmQueue) -> tuple[list[str], float]:
    """Return the status of jobs in lines, and the seconds after which to look again.

    They are 0 if there is nothing to wait for: no job runs, and none is known to be in the queue
    or may be.
    """
    if _running(found):
        return describe(found), PERIOD
    queued, again = queue.look([job for job, state in found.items() if state.name != DONE])
    return describe(found, queued), QUEUE_PERIOD if again else 0.0


def read_all(jobs: Sequence[Job]) -> dict[Job, State]:
    """Return the state of every job."""
    return {job: read_state(job.folder) for job in jobs}


def describe(found: Mapping[Job, State], queued: int = 0) -> list[str]:
    """Return the status in lines: counts, progress, running jobs, failures, a table of all.

    ``queued`` is the number of jobs in a queue, where no job runs.
    """
    steps = {job: finished_steps(job.folder) for job in _running(found)}
    lines = [states.count_line(found.values()), progress_line(found, steps)]
    if queued:
        lines.append(f"In Slurm's queue: {queued} jobs.")
    if steps:
        lines += ["", "running:"]
        lines += [f"  {_running_line(job, found[job], made)}" for job, made in steps.items()]
    failed = [job for job, state in found.items() if state.name == FAILED]
    if failed:
        lines += ["", *(outcome(job, found[job]) for job in failed)]
    return [*lines, "", *table(found)]


def progress_line(found: Mapping[Job, State], steps: Mapping[Job, int]) -> str:
    """Return how many steps are made and, where it can be told, how long the others will take.

    The steps of jobs that were stopped early do not count.
    """
    total = sum(job.n_steps for job, state in found.items() if state.name != STOPPED)
    to_do = {
        job: job.n_steps - (steps[job] if job in steps else _steps_before(job, state))
        for job, state in found.items()
        if state.name in (RUNNING, WAITING)
    }
    failed = sum(job.n_steps for job, state in found.items() if state.name == FAILED)
    made = total - failed - sum(to_do.values())
    line = f"{made:,} of {total:,} steps"
    if not to_do:
        return f"{line}."
    if not steps:
        return f"{line}; nothing is running."
    pace = pace_of(found)
    seconds = [left * (pace.seconds_per_step(job) or 0.0) for job, left in to_do.items()]
    if not sum(seconds):
        return f"{line}; no estimate until a job finishes."
    to_go = duration(sum(seconds) / len(steps))
    return f"{line}; about {to_go} to go with {len(steps)} jobs at a time."


def _steps_before(job: Job, state: State) -> int:
    """Return the steps of earlier attempts, from which the job resumes."""
    return finished_steps(job.folder) if state.claim else 0


def table(found: Mapping[Job, State]) -> list[str]:
    """Return the number of jobs in each state by dataset, setting and row of the tables."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for job, state in found.items():
        row, data = job.row()
        counts[f"{data} {row}"][state.name] += 1
    shown = states.shown_states({state.name for state in found.values()})
    rows = [
        [name, *(count[state] or "" for state in shown)] for name, count in sorted(counts.items())
    ]
    align = ["left", *["right"] * len(shown)]
    return tabulate(rows, ["", *shown], tablefmt="plain", colalign=align).splitlines()


def _running(found: Mapping[Job, State]) -> list[Job]:
    return [job for job, state in found.items() if state.name == RUNNING]


def _running_line(job: Job, state: State, made: int) -> str:
    share = 100 * made // job.n_steps
    by = ""
    if state.claim and state.claim.owner:
        since = max(0.0, time.time() - state.claim.since)
        by = f", {state.claim.owner}, for {duration(since)}"
    return f"{job.title()}: {made} of {job.n_steps} steps ({share} %){by}"
