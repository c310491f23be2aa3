"""What ``sweep status`` shows: counts, progress, time to go, and what each running job does."""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from ndcl_domainbed.sweeping import states
from ndcl_domainbed.sweeping.jobs import Job
from ndcl_domainbed.sweeping.pace import pace_of
from ndcl_domainbed.sweeping.states import State, read_state
from ndcl_domainbed.sweeping.view import duration, outcome

PERIOD = 5.0
"""Seconds from one look to the next when watching."""


def watch(jobs: Sequence[Job]) -> None:
    """Show the status again and again until no job runs; on a terminal, in place."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    if not sys.stdout.isatty():
        while print_status(jobs):
            time.sleep(PERIOD)
        return
    console = Console()
    with Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
        while True:
            found = read_all(jobs)
            live.update(Text("\n".join(describe(found))), refresh=True)
            if not _running(found):
                return
            time.sleep(PERIOD)


def print_status(jobs: Sequence[Job]) -> int:
    """Print the status once; return how many jobs run."""
    found = read_all(jobs)
    print("\n".join(describe(found)), flush=True)
    return len(_running(found))


def read_all(jobs: Sequence[Job]) -> dict[Job, State]:
    """Return the state of every job."""
    return {job: read_state(job.folder) for job in jobs}


def describe(found: Mapping[Job, State]) -> list[str]:
    """Return the status in lines: counts, progress, running jobs, failures, a table of all."""
    steps = {job: states.finished_steps(job.folder) for job in _running(found)}
    lines = [states.count_line(found.values()), progress_line(found, steps)]
    if steps:
        lines += ["", "running:"]
        lines += [f"  {_running_line(job, found[job], made)}" for job, made in steps.items()]
    failed = [job for job, state in found.items() if state.name == states.FAILED]
    if failed:
        lines += ["", *(outcome(job, found[job]) for job in failed)]
    return [*lines, "", *table(found)]


def progress_line(found: Mapping[Job, State], steps: Mapping[Job, int]) -> str:
    """Return how many steps are made and, where it can be told, how long the others will take."""
    total = sum(job.n_steps for job in found)
    to_do = {
        job: job.n_steps - steps.get(job, 0)
        for job, state in found.items()
        if state.name in (states.RUNNING, states.WAITING)
    }
    failed = sum(job.n_steps for job, state in found.items() if state.name == states.FAILED)
    made = total - failed - sum(to_do.values())
    line = f"{made:,} of {total:,} steps"
    if not to_do:
        return f"{line}."
    if not steps:
        return f"{line}; nothing runs."
    pace = pace_of(found)
    seconds = [left * (pace.seconds_per_step(job) or 0.0) for job, left in to_do.items()]
    if not sum(seconds):
        return f"{line}; the time to go is known once a job is done."
    to_go = duration(sum(seconds) / len(steps))
    return f"{line}; about {to_go} to go with {len(steps)} jobs at a time."


def table(found: Mapping[Job, State]) -> list[str]:
    """Return the number of jobs in each state by data set, setting and algorithm."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for job, state in found.items():
        args = job.train_args
        data = "/".join(filter(None, (args["dataset"], args.get("imbalance"))))
        counts[f"{data} {args['algorithm']}"][state.name] += 1
    width = max(map(len, counts), default=0)
    head = "  ".join(f"{name:>7}" for name in states.STATES)
    lines = [f"{'':<{width}}  {head}"]
    for name, count in sorted(counts.items()):
        cells = "  ".join(f"{count[state] or '':>7}" for state in states.STATES)
        lines.append(f"{name:<{width}}  {cells}".rstrip())
    return lines


def _running(found: Mapping[Job, State]) -> list[Job]:
    return [job for job, state in found.items() if state.name == states.RUNNING]


def _running_line(job: Job, state: State, made: int) -> str:
    share = 100 * made // job.n_steps
    by = ""
    if state.claim and state.claim.owner:
        since = max(0.0, time.time() - state.claim.since)
        by = f", {state.claim.owner}, for {duration(since)}"
    return f"{job.title()}: {made} of {job.n_steps} steps ({share} %){by}"
