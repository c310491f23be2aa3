"""Runs jobs in the slots of this machine until every job of the sweep has ended somewhere."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import NoReturn

from ndcl_domainbed.errors import RunFailure
from ndcl_domainbed.run_folder import (
    DONE,
    FAILED,
    INTERRUPTED,
    RUNNING,
    WAITING,
    Claim,
    State,
    latest_claim,
)
from ndcl_domainbed.sweeping import fork_server, manifest, states, view, worker
from ndcl_domainbed.sweeping.claims import ClaimWatch
from ndcl_domainbed.sweeping.jobs import Job

LOOK = 0.5
"""Seconds after which the display is refreshed if nothing happens."""

LOOK_ELSEWHERE = 2.0
"""Seconds from one look at the jobs that other launchers run to the next."""

GRACE = 30.0
"""Seconds that jobs have to save their progress when the sweep is stopped."""

FAILED_STARTS = 3
"""How often the server that jobs are forked from may be dead before the sweep is given up."""

SPARE_FILES, FILES_PER_JOB = 64, 4
"""How many files a launcher may have open at a time: always, and for each job that runs."""

Slot = Mapping[str, str]
"""The environment variables that a job gets in a slot, such as which device to use."""


def run_jobs(jobs: Sequence[Job], slots: Sequence[Slot], threads: int, retries: int) -> None:
    """Run ``jobs``, one at a time in each slot, with ``threads`` threads each.

    Returns when all have ended, those that other launchers took included. A job that breaks down
    is started again up to ``retries`` times. When the launcher is stopped its jobs are stopped as
    well; they resume from their last checkpoint when they are launched again.
    """
    allow_files(SPARE_FILES + FILES_PER_JOB * len(slots))
    with view.show_progress(jobs) as display:
        scheduler = Scheduler(jobs, slots, threads, retries, display)
        try:
            scheduler.run()
        finally:
            scheduler.stop()


def allow_files(count: int) -> None:
    """Have the system allow this process ``count`` open files. Raises OSError if it does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def run_here(job: Job, threads: int, retries: int) -> None:
    """Run one job in this process, or wait until another that has it is done with it."""
    fork_server.use_threads(threads)
    turn = Turns([job], retries)
    while True:
        state = states.read_state(job.folder, turn.watch)
        if state.name == RUNNING:
            time.sleep(LOOK_ELSEWHERE)
        elif turn.may_start(job, state):
            worker.run(job, state.next_attempt)
        else:
            return


class Turns:
    """Decides whether a job may be started, and how often again."""

    def __init__(self, jobs: Sequence[Job], retries: int) -> None:
        self.watch = ClaimWatch()
        self._retries = retries
        self._retried: Counter[Job] = Counter()
        self._old_claims = {job: states.read_state(job.folder).claim for job in jobs}

    def may_start(self, job: Job, state: State) -> bool:
        """Whether a job that nobody runs may be started: one that failed, as a retry only.

        An error of the run's own would come again, so it is retried only if it dates from before
        this launch: its cause may have been removed since.
        """
        if state.name == DONE or job.is_paused():
            return False
        if state.name != FAILED:
            return self._retried[job] <= self._retries
        is_old = state.claim == self._old_claims[job]
        if self._retried[job] >= self._retries or not (state.crashed or is_old):
            return False
        self._retried[job] += 1
        return True

    def may_restart(self, job: Job, state: State) -> bool:
        """Whether a job that has just ended here may be started again, as far as is known."""
        if job.is_paused():
            return False
        if state.name == WAITING:  # it was stopped, or could not write how it ended
            self._retried[job] += 1
        return state.name != DONE and self._retried[job] <= self._retries


@dataclass(frozen=True)
class Attempt:
    """A job that runs in a slot."""

    job: Job
    slot: Slot
    process: BaseProcess


class Scheduler:
    """Hands jobs to slots, and sees to those that fail or that others run."""

    def __init__(
        self,
        jobs: Sequence[Job],
        slots: Sequence[Slot],
        threads: int,
        retries: int,
        display: view.View,
    ) -> None:
        self._queue = deque(jobs)
        self._elsewhere: list[Job] = []
        self._running: list[Attempt] = []
        self._free = list(slots)
        self._threads = threads
        self._display = display
        self._turns = Turns(jobs, retries)
        self._looked = time.monotonic()
        self._failed_starts = 0

    def run(self) -> None:
        """Work until every job has ended, here or elsewhere."""
        while self._queue or self._running or self._elsewhere:
            while self._free and self._queue:
                self._consider(self._queue.popleft())
            self._await_ends()
            if time.monotonic() - self._looked > LOOK_ELSEWHERE:
                self._look_elsewhere()
            self._display.refresh([attempt.job for attempt in self._running])

    def stop(self) -> None:
        """Have the jobs that run here save their progress, and end them."""
        for attempt in self._running:
            attempt.process.terminate()
        deadline = time.monotonic() + GRACE
        for attempt in self._running:
            attempt.process.join(max(0.0, deadline - time.monotonic()))
            attempt.process.kill()
            attempt.process.join()
            record_stop(attempt.job)
        self._running.clear()

    def _consider(self, job: Job) -> None:
        """Start a job, unless it has ended or somebody else runs it."""
        state = states.read_state(job.folder, self._turns.watch)
        if state.name == RUNNING:
            self._elsewhere.append(job)
        elif self._turns.may_start(job, state):
            self._start(job, state)
        else:
            self._display.ended(job, state)

    def _start(self, job: Job, state: State) -> None:
        self._display.started(job)
        slot = self._free.pop()
        try:
            process = fork_server.start(
                worker.run_and_exit, job, state.next_attempt,
                threads=self._threads, environment=slot,
            )  # fmt: skip
        except (OSError, EOFError) as error:
            self._free.append(slot)
            self._queue.appendleft(job)
            self._failed_starts += 1
            if self._failed_starts > FAILED_STARTS:
                message = "the process that starts the jobs keeps dying; see its message above."
                raise RunFailure(message) from error
        else:
            self._running.append(Attempt(job, slot, process))

    def _await_ends(self) -> None:
        """Wait a moment for jobs to end, and see to those that have."""
        if not self._running:
            time.sleep(LOOK)
            return
        ended = wait([attempt.process.sentinel for attempt in self._running], LOOK)
        for attempt in [one for one in self._running if one.process.sentinel in ended]:
            self._running.remove(attempt)
            self._free.append(attempt.slot)
            attempt.process.join()
            status = attempt.process.exitcode or 0
            attempt.process.close()  # ends it if only the server has died
            self._finish(attempt.job, status)

    def _finish(self, job: Job, status: int) -> None:
        if status == worker.STATUS_CANNOT_WRITE:
            manifest.check_writable(job.folder.parent)
        if status not in (0, 1):
            record_crash(job, status)
        state = states.read_state(job.folder, self._turns.watch)
        if status == worker.STATUS_NOT_MINE or state.name == RUNNING:
            self._elsewhere.append(job)
        elif self._turns.may_restart(job, state):
            self._queue.appendleft(job)
        else:
            self._display.ended(job, state)

    def _look_elsewhere(self) -> None:
        """Take back the jobs that nobody else runs any longer."""
        self._looked = time.monotonic()
        jobs, self._elsewhere = self._elsewhere, []
        for job in jobs:
            running = states.read_state(job.folder, self._turns.watch).name == RUNNING
            (self._elsewhere if running else self._queue).append(job)


def record_stop(job: Job) -> None:
    """Write that ``job`` was stopped, so that nobody has to find out that its process is dead."""
    claim = latest_claim(job.folder)
    if claim is not None and _died_here(claim):
        with contextlib.suppress(OSError):
            claim.finish(INTERRUPTED)


def _died_here(claim: Claim) -> bool:
    """Whether the owner died on this machine without a last word."""
    return claim.end is None and claim.owner is not None and claim.owner.runs_here() is False


def record_crash(job: Job, status: int) -> None:
    """Write why the process of ``job`` died, where the process could not."""
    claim = latest_claim(job.folder)
    if claim is None or not _died_here(claim):
        return
    reason = describe_status(status)
    try:
        worker.append_error(job.folder, reason)
        claim.finish(FAILED, reason, crashed=True)
    except OSError:  # a full disk, perhaps what the job died of: it counts as stopped
        return


def describe_status(status: int) -> str:
    """Return what the exit status of a process says about its end."""
    if status >= 0:
        return f"the process ended with exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hint = ", perhaps for lack of memory" if name == "SIGKILL" else ""
    return f"the process was killed by {name}{hint}"


@contextlib.contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Within the block, leave on SIGTERM in good order, as on an interrupt: with status 143."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    kept = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, kept)
