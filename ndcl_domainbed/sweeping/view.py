"""What a launcher shows while its jobs run: one live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ndcl_domainbed.run_folder import DONE, FAILED, PAUSED, STOPPED, WAITING, State, finished_steps
from ndcl_domainbed.sweeping.jobs import Job


class View:
    """Prints a line for each job that ends: how, how many have, and the time to go."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.total = len(jobs)
        self.n_ended = 0
        self.n_failed = 0
        self._steps_to_do = {job: job.n_steps for job in jobs}
        self._at_start: dict[Job, int] = {}
        self._made = 0
        self._begun = time.monotonic()

    def started(self, job: Job) -> None:
        """Note how far a job is when it starts, for the pace counts only what is done here."""
        self._at_start[job] = finished_steps(job.folder)
        self._steps_to_do[job] = job.n_steps - self._at_start[job]

    def ended(self, job: Job, state: State) -> None:
        """Count a job about which nothing more will be done here, and show how it ended."""
        self.n_ended += 1
        self.n_failed += state.name == FAILED
        to_do = self._steps_to_do.pop(job)
        if end_name(job, state) in (DONE, PAUSED) and job in self._at_start:
            self._made += to_do
        self.show_end(job, state)

    def show_end(self, job: Job, state: State) -> None:
        """Show how a job ended."""
        seconds = self.seconds_to_go({})
        to_go = f" [{duration(seconds)} to go]" if seconds else ""
        width = len(str(self.total))
        print(f"{self.n_ended:>{width}}/{self.total} {outcome(job, state)}{to_go}", flush=True)

    def refresh(self, running: Sequence[Job]) -> None:
        """Show how far the jobs that run here are."""

    def seconds_to_go(self, running: Mapping[Job, int]) -> float | None:
        """Return the seconds to go, given how far the running jobs are; None if unknown yet."""
        begun = sum(max(0, steps - self._at_start[job]) for job, steps in running.items())
        made = self._made + begun
        if made == 0:
            return None
        pace = (time.monotonic() - self._begun) / made
        return pace * (sum(self._steps_to_do.values()) - begun)


class LiveView(View):
    """Shows a bar for the sweep and one for each job that runs; failures stay above them."""

    def __init__(self, jobs: Sequence[Job], progress: Any) -> None:
        super().__init__(jobs)
        self._progress = progress
        self._whole = progress.add_task("", total=len(jobs), to_go="")
        self._bars: dict[Job, Any] = {}
        self.refresh([])

    def show_end(self, job: Job, state: State) -> None:
        """Keep a line if the job failed."""
        if end_name(job, state) not in (DONE, PAUSED):
            self._progress.console.print(outcome(job, state), markup=False, highlight=False)

    def refresh(self, running: Sequence[Job]) -> None:
        """Bring all bars up to date."""
        steps = {job: finished_steps(job.folder) for job in running}
        for job in list(self._bars.keys() - steps.keys()):
            self._progress.remove_task(self._bars.pop(job))
        for job, made in steps.items():
            if job not in self._bars:
                self._bars[job] = self._progress.add_task(job.title(), total=job.n_steps, to_go="")
            self._progress.update(self._bars[job], completed=made)
        seconds = self.seconds_to_go(steps)
        failed = f", {self.n_failed} failed" if self.n_failed else ""
        self._progress.update(
            self._whole, completed=self.n_ended, description=f"all jobs{failed}",
            to_go=f"{duration(seconds)} to go" if seconds is not None else "",
        )  # fmt: skip


def duration(seconds: float) -> str:
    """Return a number of seconds in the two largest units that it fills.

    >>> duration(3723)
    '1 h 2 min'
    >>> duration(42.4)
    '42 s'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def outcome(job: Job, state: State) -> str:
    """Return one line on how a job ended."""
    name = end_name(job, state)
    reason = f": {state.reason} (see {job.folder})" if state.reason and name != PAUSED else ""
    return f"{name:<7} {job.title()}{reason}"


def end_name(job: Job, state: State) -> str:
    """Return the name of the state in which a launcher leaves a job.

    One that an earlier launch stopped is paused: whether it resumes is decided again.
    """
    return PAUSED if state.name in (WAITING, STOPPED) and job.is_paused() else state.name


@contextmanager
def show_progress(jobs: Sequence[Job]) -> Iterator[View]:
    """Show the progress of ``jobs`` while the block runs."""
    if not sys.stdout.isatty():
        yield View(jobs)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    title = TextColumn("{task.description}", markup=False)  # it names networks in brackets
    columns = (title, BarColumn(), MofNCompleteColumn(), "{task.fields[to_go]}")
    with Progress(*columns, transient=True) as progress:
        yield LiveView(jobs, progress)
