"""Runs jobs in the slots of this machine until every job of the sweep has ended somewhere."""

from __future__ import annotations

import contextlib
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from ndcl_domainbed.errors import RunFailure
from ndcl_domainbed.sweeping import claims, manifest, states, view, worker
from ndcl_domainbed.sweeping.claims import Watch
from ndcl_domainbed.sweeping.job_client import JobServer, ServerDied
from ndcl_domainbed.sweeping.job_server import STATUS_CANNOT_WRITE, STATUS_NOT_MINE
from ndcl_domainbed.sweeping.jobs import Job
from ndcl_domainbed.sweeping.states import State

LOOK = 0.5
"""Seconds after which the display is refreshed if nothing happens."""

LOOK_ELSEWHERE = 2.0
"""Seconds from one look at the jobs that other launchers run to the next."""

SERVER_DEATHS = 3
"""How often the process that starts jobs may die before the sweep is given up."""

Slot = Mapping[str, str]
"""The environment variables that a job gets in a slot, such as which device to use."""

StartServer = Callable[[], JobServer]


def run_jobs(jobs: Sequence[Job], slots: Sequence[Slot], threads: int, retries: int) -> None:
    """Run ``jobs``, one at a time in each slot, with ``threads`` threads each.

    Returns when all have ended, those that other launchers took included. A job that breaks down
    is started again up to ``retries`` times. When the launcher is stopped its jobs are stopped as
    well; they resume from their last checkpoint when they are launched again.
    """
    with view.shown(jobs) as display:
        scheduler = Scheduler(jobs, slots, lambda: JobServer(threads), retries, display)
        try:
            scheduler.run()
        finally:
            scheduler.stop()


@dataclass(frozen=True)
class Attempt:
    """A job that runs in a slot."""

    job: Job
    slot: Slot


class Scheduler:
    """Hands jobs to slots, and sees to those that fail or that others run."""

    def __init__(
        self,
        jobs: Sequence[Job],
        slots: Sequence[Slot],
        start_server: StartServer,
        retries: int,
        display: view.View,
    ) -> None:
        self._queue = deque(jobs)
        self._elsewhere: list[Job] = []
        self._running: dict[int, Attempt] = {}
        self._free = list(slots)
        self._start_server = start_server
        self._retries = retries
        self._display = display
        self._retried: Counter[Job] = Counter()
        self._old_failures = {job: states.read_state(job.folder).claim for job in jobs}
        self._watch = Watch()
        self._looked = time.monotonic()
        self._server = start_server()
        self._server_deaths = 0
        self._keys = 0

    def run(self) -> None:
        """Work until every job has ended, here or elsewhere."""
        while self._queue or self._running or self._elsewhere:
            self.step()

    def step(self) -> None:
        """Start what can start, then wait a moment for a job to end."""
        try:
            while self._free and self._queue:
                self._consider(self._queue.popleft())
            ended = self._server.ended(LOOK)
        except ServerDied:
            self._replace_server()
            return
        if ended is not None:
            self._ended(*ended)
        if time.monotonic() - self._looked > LOOK_ELSEWHERE:
            self._look_elsewhere()
        self._display.refresh([attempt.job for attempt in self._running.values()])

    def stop(self) -> None:
        """Stop the jobs that run in the slots, and give them up for others to resume."""
        self._server.stop()
        for attempt in self._running.values():
            record_stop(attempt.job)
        self._running.clear()

    def _consider(self, job: Job) -> None:
        """Start a job, unless it has ended or somebody else runs it."""
        state = states.read_state(job.folder, self._watch)
        if state.name == states.RUNNING:
            self._elsewhere.append(job)
        elif state.name == states.DONE or not self._may_start(job, state):
            self._display.ended(job, state)
        else:
            self._start(job, state)

    def _may_start(self, job: Job, state: State) -> bool:
        """Whether a job that is not done may be started: a failed one, as a retry only.

        An error of the run's own would come again, so it is retried only if it dates from before
        this launch: its cause may have been removed since.
        """
        if state.name != states.FAILED:
            return self._retried[job] <= self._retries
        old = state.claim == self._old_failures[job]
        if self._retried[job] >= self._retries or not (state.crashed or old):
            return False
        self._retried[job] += 1
        return True

    def _start(self, job: Job, state: State) -> None:
        slot = self._free.pop()
        self._keys += 1
        self._running[self._keys] = Attempt(job, slot)
        self._display.started(job, state)
        self._server.start(self._keys, job, state.next_attempt, slot)

    def _ended(self, key: int, status: int) -> None:
        attempt = self._running.pop(key)
        self._free.append(attempt.slot)
        job = attempt.job
        if status == STATUS_NOT_MINE:
            self._elsewhere.append(job)
            return
        if status == STATUS_CANNOT_WRITE:
            manifest.check_writable(job.folder.parent)
        if status not in (0, 1):
            record_crash(job, status)
        state = states.read_state(job.folder, self._watch)
        if state.name == states.WAITING:  # it was stopped, or could not write how it ended
            self._retried[job] += 1
        if state.name != states.DONE and self._retried[job] <= self._retries:
            self._queue.appendleft(job)
        else:
            self._display.ended(job, state)

    def _look_elsewhere(self) -> None:
        """Take back the jobs that nobody else runs any longer."""
        self._looked = time.monotonic()
        kept: list[Job] = []
        for job in self._elsewhere:
            running = states.read_state(job.folder, self._watch).name == states.RUNNING
            if running:
                kept.append(job)
            else:
                self._queue.append(job)
        self._elsewhere = kept

    def _replace_server(self) -> None:
        """Start a new server; the jobs of the old one end by themselves and are then waiting."""
        self._server_deaths += 1
        self._server.stop()
        if self._server_deaths > SERVER_DEATHS:
            raise RunFailure("the process that starts the jobs keeps dying; see its message above.")
        for attempt in self._running.values():
            self._free.append(attempt.slot)
            self._elsewhere.append(attempt.job)
        self._running.clear()
        self._server = self._start_server()


def record_stop(job: Job) -> None:
    """Write that ``job`` was stopped, so that nobody has to find out that its process is dead."""
    claim = claims.latest(job.folder)
    if claim is not None and _died_here(claim):
        with contextlib.suppress(OSError):
            claim.finish(claims.INTERRUPTED)


def _died_here(claim: claims.Claim) -> bool:
    """Whether the owner died on this machine without a last word."""
    return claim.end is None and claim.owner is not None and claim.owner.runs_here() is False


def record_crash(job: Job, status: int) -> None:
    """Write why the process of ``job`` died, where the process could not."""
    claim = claims.latest(job.folder)
    if claim is None or not _died_here(claim):
        return
    reason = describe_status(status)
    try:
        worker.append_error(job.folder, reason)
        claim.finish(claims.FAILED, reason, crashed=True)
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
def stopped_by_sigterm() -> Iterator[None]:
    """Within the block, leave on SIGTERM in good order, as on an interrupt: with status 143."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    kept = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, kept)
