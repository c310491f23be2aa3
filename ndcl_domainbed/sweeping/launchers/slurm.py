"""Submits the jobs to Slurm as job arrays; they resume after preemption and time-outs.

Needs the extra ``slurm`` (submitit) and a folder that the machines share.
"""

from __future__ import annotations

import math
import re
from argparse import ArgumentTypeError, Namespace, _ArgumentGroup
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ndcl_domainbed.errors import InputError
from ndcl_domainbed.sweeping import queued, view
from ndcl_domainbed.sweeping.job_client import JobServer
from ndcl_domainbed.sweeping.jobs import Job
from ndcl_domainbed.sweeping.running import Scheduler

ARRAY = 1000
"""Tasks of an array: one less than Slurm's default limit."""

REQUEUES = 100
"""How often a task may run out of time; each time it resumes from its last checkpoint."""

DEFAULT_MINUTES = 24 * 60

LEAST_MINUTES = 3
"""Slurm says up to two minutes before the end that it comes: of less, nothing would be left."""


def add_flags(group: _ArgumentGroup) -> None:
    """Add the flags that say what each task asks for."""
    add = group.add_argument
    add("--slurm_partition", metavar="NAME")
    add("--slurm_time", type=minutes, metavar="TIME",
        help="minutes, or as sbatch --time takes it; a task out of time resumes in a new one "
        "(default: a day)")  # fmt: skip
    add("--slurm_mem", metavar="SIZE", help="such as 16G")
    add("--slurm_gpus", metavar="N", help="GPUs, such as 1 or a100:1")
    add("--slurm_constraint", metavar="FEATURES")
    add("--slurm_cpus", type=int, metavar="N", help="cores, and threads of a job (default: 1)")
    add("--slurm_account", metavar="NAME")
    add("--slurm_jobs_per_task", type=int, metavar="N",
        help="jobs that a task runs one after the other (default: 1)")  # fmt: skip


def launch(jobs: Sequence[Job], options: Namespace) -> bool:
    """Submit the jobs that no task in the queue has, and return.

    ``--jobs`` limits how many tasks run at a time. Raises InputError without submitit or Slurm,
    and if Slurm does not tell what is in its queue.
    """
    folder = jobs[0].folder.parent / queued.FOLDER
    jobs = not_queued(jobs)
    if not jobs:
        print("All of them are in Slurm's queue already.")
        return False
    for array in submit(jobs, options, slurm_executor(folder, options)):
        queued.note(array, folder)  # at once: the next may not be accepted
        count = sum(map(len, array.values()))
        (job_id,) = {name.split("_")[0] for name in array}
        print(f"Submitted {count} jobs in {len(array)} tasks: Slurm job {job_id}.", flush=True)
    print("`ndcl-domainbed sweep status --output_dir DIR --watch` shows how far they are.")
    return False


def not_queued(jobs: Sequence[Job]) -> list[Job]:
    """Return those of ``jobs`` that no task in the queue has. InputError if that is not known."""
    try:
        return queued.not_queued(jobs)
    except queued.NoAnswer as error:
        raise InputError(
            f"Slurm does not tell what is in its queue: {error}\n"
            "Launch again once it does: now jobs might be submitted twice."
        ) from error


def submit(
    jobs: Sequence[Job], options: Namespace, executor: Any
) -> Iterator[dict[str, list[Job]]]:
    """Give the jobs to ``executor`` in arrays of tasks; yield the jobs of each task by its id.

    They are yielded array by array, once Slurm has it. Raises InputError if it does not accept one.
    """
    from submitit.core.utils import FailedJobError

    each = getattr(options, "slurm_jobs_per_task", 1)
    if each < 1:
        raise InputError(f"--slurm_jobs_per_task must be at least 1; it was given {each}")
    threads = getattr(options, "slurm_cpus", 1)
    tasks = [
        Task(list(jobs[first : first + each]), threads, options.retries)
        for first in range(0, len(jobs), each)
    ]
    for first in range(0, len(tasks), ARRAY):
        try:
            with executor.batch():
                array = [executor.submit(task) for task in tasks[first : first + ARRAY]]
        except FailedJobError as error:
            reason = str(error).strip() or "sbatch failed"
            raise InputError(
                f"Slurm did not accept the jobs: {reason}\nCheck the flags that begin with --slurm."
            ) from error
        yield {made.job_id: task.jobs for task, made in zip(tasks[first:], array, strict=False)}


def slurm_executor(folder: Path, options: Namespace) -> Any:
    """Return submitit's executor with the parameters that the flags ask for."""
    try:
        import submitit
    except ImportError as error:
        raise InputError(
            "--command_launcher slurm needs submitit: pip install 'ndcl-domainbed[slurm]'"
        ) from error
    try:
        executor = submitit.SlurmExecutor(folder / "%j", max_num_timeout=REQUEUES)
    except RuntimeError as error:
        raise InputError(
            "--command_launcher slurm: there is no Slurm here (the command srun is missing)."
        ) from error
    executor.update_parameters(**parameters(options))
    return executor


def parameters(options: Namespace) -> dict[str, Any]:
    """Return the flags as the parameters of submitit's executor."""
    extra = {"mem": getattr(options, "slurm_mem", None)}
    values = {
        "job_name": "ndcl-domainbed",
        "partition": getattr(options, "slurm_partition", None),
        "time": getattr(options, "slurm_time", DEFAULT_MINUTES),
        "gpus_per_node": getattr(options, "slurm_gpus", None),
        "constraint": getattr(options, "slurm_constraint", None),
        "account": getattr(options, "slurm_account", None),
        "cpus_per_task": getattr(options, "slurm_cpus", 1),
        "array_parallelism": options.jobs or ARRAY,
        "additional_parameters": {k: v for k, v in extra.items() if v is not None} or None,
    }
    return {name: value for name, value in values.items() if value is not None}


@dataclass
class Task:
    """What a Slurm task does: run some jobs, one after the other, each in a process of its own."""

    jobs: list[Job]
    threads: int
    retries: int
    _scheduler: Scheduler | None = field(default=None, init=False, repr=False)

    def __call__(self) -> None:
        """Run the jobs that are not done, and wait for those that run elsewhere."""
        with view.shown(self.jobs) as display:
            self._scheduler = Scheduler(
                self.jobs, [{}], lambda: JobServer(self.threads), self.retries, display
            )
            try:
                self._scheduler.run()
            finally:
                self._scheduler.stop()

    def checkpoint(self) -> Any:
        """Stop the job that runs, before the task loses its machine; return what resumes it.

        submitit calls this when the task is preempted or its time ends.
        """
        from submitit.helpers import DelayedSubmission

        if self._scheduler is not None:
            self._scheduler.stop()
        return DelayedSubmission(Task(self.jobs, self.threads, self.retries))


def minutes(text: str) -> int:
    """Return a time limit, as sbatch takes it, in whole minutes; at least ``LEAST_MINUTES``.

    >>> minutes("90"), minutes("1:30:00"), minutes("2-12")
    (90, 90, 3600)
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if not match:
        raise ArgumentTypeError(f"{text!r} is not a time such as 90, 1:30:00 or 2-12")
    days, *rest = match.groups()
    parts = [int(part) for part in rest if part is not None]
    if days is not None:
        hours, minute, second = [*parts, 0, 0][:3]
        hours += 24 * int(days)
    elif len(parts) == 3:
        hours, minute, second = parts
    else:
        hours, (minute, second) = 0, [*parts, 0][:2]
    total = math.ceil(hours * 60 + minute + second / 60)
    if total < LEAST_MINUTES:
        raise ArgumentTypeError(
            f"{text!r} is too short: Slurm gives a task notice up to two minutes before its time "
            f"is up; give at least {LEAST_MINUTES} minutes"
        )
    return total
