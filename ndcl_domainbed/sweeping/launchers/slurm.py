"""Submits the jobs to Slurm as job arrays; they resume after preemption and time-outs.

Needs the extra ``slurm`` (submitit) and a folder that the machines share.
"""

from __future__ import annotations

import math
import re
import signal
from argparse import ArgumentTypeError, Namespace, _ArgumentGroup
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndcl_domainbed.errors import InputError
from ndcl_domainbed.sweeping import slurm_queue
from ndcl_domainbed.sweeping.jobs import Job
from ndcl_domainbed.sweeping.running import run_here, run_jobs, stopped_by_sigterm
from ndcl_domainbed.sweeping.slurm_queue import NoAnswer
from ndcl_domainbed.training.arguments import check_at_least

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
    add("--slurm_time", type=minutes, default=DEFAULT_MINUTES, metavar="TIME",
        help="minutes, or as sbatch --time takes it; a task out of time resumes in a new one "
        "(default: a day)")  # fmt: skip
    add("--slurm_mem", metavar="SIZE", help="such as 16G")
    add("--slurm_gpus", metavar="N", help="GPUs, such as 1 or a100:1")
    add("--slurm_constraint", metavar="FEATURES")
    add("--slurm_cpus", type=int, default=1, metavar="N",
        help="cores, and threads of a job (default: 1)")  # fmt: skip
    add("--slurm_account", metavar="NAME")
    add("--slurm_jobs_per_task", type=int, default=1, metavar="N",
        help="jobs that a task runs one after the other (default: 1)")  # fmt: skip


def check(jobs: Sequence[Job], options: Namespace) -> None:
    """Raise InputError without submitit or Slurm, or for a number that makes no sense."""
    check_at_least("--slurm_jobs_per_task", options.slurm_jobs_per_task, 1)
    slurm_executor(jobs[0].folder.parent / slurm_queue.FOLDER, options)


def launch(jobs: Sequence[Job], options: Namespace) -> bool:
    """Submit the jobs that no task in the queue has, and return.

    ``--jobs`` limits how many tasks run at a time. Raises InputError without submitit or Slurm,
    and if Slurm does not show its queue.
    """
    folder = jobs[0].folder.parent / slurm_queue.FOLDER
    try:
        jobs = slurm_queue.select_unqueued(jobs)
    except NoAnswer as error:
        raise InputError(
            f"Slurm does not show its queue: {error}\n"
            "Launch again once it does: now jobs might be submitted twice."
        ) from error
    if not jobs:
        print("All of them are in Slurm's queue already.")
        return False
    for array in submit(jobs, options, slurm_executor(folder, options)):
        slurm_queue.note(array, folder)  # at once: the next may not be accepted
        count = sum(map(len, array.values()))
        (job_id,) = {name.split("_")[0] for name in array}
        print(f"Submitted {count} jobs in {len(array)} tasks: Slurm job {job_id}.", flush=True)
    print("`ndcl-domainbed sweep status --output_dir DIR --watch` shows how far they are.")
    return False


def submit(
    jobs: Sequence[Job], options: Namespace, executor: Any
) -> Iterator[dict[str, list[Job]]]:
    """Give the jobs to ``executor`` in arrays of tasks; yield the jobs of each task by its id.

    They are yielded array by array, once Slurm has it. Raises InputError if it does not accept one.
    """
    from submitit.core.utils import FailedJobError

    each = options.slurm_jobs_per_task
    tasks = [
        Task(list(jobs[first : first + each]), options.slurm_cpus, options.retries)
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
    values = {
        "job_name": "ndcl-domainbed",
        "partition": options.slurm_partition,
        "time": options.slurm_time,
        "gpus_per_node": options.slurm_gpus,
        "constraint": options.slurm_constraint,
        "account": options.slurm_account,
        "cpus_per_task": options.slurm_cpus,
        "array_parallelism": options.jobs or ARRAY,
        "additional_parameters": {"mem": options.slurm_mem} if options.slurm_mem else None,
    }
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Task:
    """What a Slurm task does: run its job, or its jobs one after the other.

    A job that has the task for itself runs in the task's own process.
    """

    jobs: list[Job]
    threads: int
    retries: int

    def __call__(self) -> None:
        """Run the jobs that are not done, and wait for those that run elsewhere.

        On SIGUSR2, by which submitit learns that the task is preempted or out of time, the job
        that runs saves its progress first, and then submitit has the task resume in a new one.
        """
        requeue = signal.getsignal(signal.SIGUSR2)
        told: list[Any] = []

        def stop(*details: Any) -> None:
            told[:] = details
            signal.raise_signal(signal.SIGTERM)

        signal.signal(signal.SIGUSR2, stop)
        try:
            with stopped_by_sigterm():
                if len(self.jobs) == 1:
                    run_here(self.jobs[0], self.threads, self.retries)
                else:
                    run_jobs(self.jobs, [{}], self.threads, self.retries)
        except SystemExit:
            if not (told and callable(requeue)):
                raise
            requeue(*told)

    def checkpoint(self) -> Any:
        """Return what resumes the task, for submitit to submit."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


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
