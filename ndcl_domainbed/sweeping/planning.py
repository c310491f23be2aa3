"""What a sweep will cost: jobs, steps, and the time on these workers."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ndcl_domainbed.run_folder import DONE, DONE_FILE, FAILED, RECORDS_FILE, State, latest_claim
from ndcl_domainbed.sweeping import states
from ndcl_domainbed.sweeping.grid import dataset_class, usual_length
from ndcl_domainbed.sweeping.jobs import Job, make_job, threads_per_job
from ndcl_domainbed.sweeping.pace import Kind, Pace, kind_of
from ndcl_domainbed.sweeping.running import Slot, run_jobs
from ndcl_domainbed.sweeping.view import duration

MEASURED_STEPS = 6
"""Steps of the two short runs that measure a kind of job."""

WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclasses.dataclass(frozen=True)
class Cost:
    """Seconds that a run takes to start, for an evaluation, and for a step."""

    start: float
    evaluation: float
    step: float

    def of(self, job: Job) -> float:
        """Return the seconds that ``job`` will take."""
        return self.start + checkpoints(job) * self.evaluation + job.n_steps * self.step


def checkpoints(job: Job) -> int:
    """Return how often a job is evaluated."""
    args = job.train_args
    every = args.get("checkpoint_freq")
    if every is None:
        data = dataset_class(args["dataset"], args["data_dir"])
        _, every = usual_length(args, data)
    last = job.n_steps - 1
    at_start = args.get("eval_images") is None or last == 0
    return last // every + at_start + (last % every > 0)


def measure(jobs: Sequence[Job], slots: Sequence[Slot]) -> tuple[Pace, dict[Kind, str]]:
    """Time the first job of each kind by two short runs, one evaluated at every step.

    As many run at a time as there are ``slots``, which are environments of jobs.
    Returns the pace, and why a kind could not be timed; the folders of runs that failed are kept.
    """
    first = {kind_of(job): job for job in reversed(jobs)}
    seconds: dict[Kind, float] = {}
    reasons: dict[Kind, str] = {}
    with _temporary_unless_failed() as folder:
        short = {
            (kind, freq): _short(job, freq, folder)
            for kind, job in first.items()
            for freq in (1, MEASURED_STEPS - 1)
        }
        run_jobs(list(short.values()), slots, threads_per_job(len(slots)), retries=0)
        for kind, job in first.items():
            often, seldom = short[kind, 1], short[kind, MEASURED_STEPS - 1]
            state = states.read_state(often.folder)
            if state.name == DONE and (seldom.folder / DONE_FILE).exists():
                seconds[kind] = cost(often.folder, seldom.folder).of(job) / job.n_steps
            else:
                reasons[kind] = " ".join(state.reason.split())
    return Pace(seconds), reasons


@contextlib.contextmanager
def _temporary_unless_failed() -> Iterator[str]:
    """Make a folder for jobs; in the end only those of jobs that have failed are left in it."""
    folder = Path(tempfile.mkdtemp(prefix="ndcl-plan-"))
    try:
        yield str(folder)
    finally:
        for job_folder in folder.iterdir():
            if states.read_state(job_folder).name != FAILED:
                shutil.rmtree(job_folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # some have failed
            folder.rmdir()


def _short(job: Job, checkpoint_freq: int, folder: str) -> Job:
    args = {**job.train_args, "steps": MEASURED_STEPS, "checkpoint_freq": checkpoint_freq}
    return make_job(args, folder, MEASURED_STEPS, job.free_args)


def cost(often: Path, seldom: Path) -> Cost:
    """Return the cost that two short runs show: evaluated at every step, and at the ends alone."""
    evaluation = (_seconds(often) - _seconds(seldom)) / (MEASURED_STEPS - 2)
    evaluation = max(0.0, evaluation)
    records = [json.loads(line) for line in (often / RECORDS_FILE).open(encoding="utf-8")]
    times = sorted(record["step_time"] for record in records)
    step = times[len(times) // 2]  # the median: the first steps are slow
    start = _seconds(seldom) - 2 * evaluation - MEASURED_STEPS * step
    return Cost(max(0.0, start), evaluation, step)


def _seconds(folder: Path) -> float:
    claim = latest_claim(folder)
    return claim.end.at - claim.since if claim and claim.end else 0.0


def describe(
    found: Mapping[Job, State], pace: Pace, reasons: Mapping[Kind, str], at_a_time: int
) -> list[str]:
    """Return the plan in lines."""
    to_do = [job for job, state in found.items() if state.name != DONE]
    steps = sum(job.n_steps for job in to_do)
    lines = [f"To do: {len(to_do)} jobs, {steps:,} steps."]
    for kind, reason in reasons.items():
        name = " ".join(part for part in kind if part)
        lines.append(f"no time for {name}: {reason or 'the short run did not end'}")
    known = {job: pace.seconds_per_step(job) for job in to_do if pace.knows(job)}
    seconds = sorted(job.n_steps * (each or 0.0) for job, each in known.items())
    if not seconds:
        return lines
    if len(known) < len(to_do):
        lines.append(f"The times below are for the {len(known)} jobs that could be timed.")
    lines.append(f"{'workers':>9}  time")
    for workers in sorted({*WORKERS, at_a_time}):
        if workers == 1 or workers <= len(known):
            least = max(sum(seconds) / workers, seconds[-1])
            lines.append(f"{workers:>9}  {duration(least)}")
    return lines
