"""Submits the jobs to Slurm as job arrays; they resume after preemption and time-outs.

Needs the extra ``slurm`` (submitit) and a folder that the machines share.
"""

from __future__ import annotations

import math
import re
import shlex
import signal
from argparse import ArgumentTypeError, Namespace, _ArgumentGroup
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imbalance_splits.errors import needs_package
from ndcl_domainbed.errors import InputError
from ndcl_domainbed.sweeping import slurm_queue
from ndcl_domainbed.sweeping.grid import loader_processes
from ndcl_domainbed.sweeping.jobs import Job
from ndcl_domainbed.sweeping.running import exit_on_sigterm, run_here, run_jobs
from ndcl_domainbed.sweeping.slurm_queue import NoAnswer
from ndcl_domainbed.training.arguments import check_at_least

ARRAY = 1000
"""Tasks of an array, unless Slurm allows fewer."""

REQUEUES = 100
"""How often a task may run out of time; each time it resumes from its last checkpoint."""

DEFAULT_MINUTES = 24 * 60

MIN_MINUTES = 3
"""Slurm may give notice two minutes before the end: a shorter task would have no time to work."""


def add_flags(group: _ArgumentGroup) -> None:
    """Add the flags that say what each task asks for."""
    add = group.add_argument
    add("--slurm_partition", metavar="NAME")
    add("--slurm_time", type=minutes, default=DEFAULT_MINUTES, metavar="TIME",
        help="minutes, or as sbatch --time takes it; a task out of time resumes in a new one "
        "(default: a day)")  # fmt: skip
    add("--slurm_mem", metavar="SIZE", help="such as 16G")
    add("--slurm_gpus", metavar="N", help="GPUs, such as 1 or a100:1")
    add("--slurm_cpus", type=int, metavar="N",
        help="cores, and threads of a job (default: 1; with --slurm_gpus, one more than there are "
        "loader processes)")  # fmt: skip
    add("--slurm_constraint", metavar="FEATURES")
    add("--slurm_account", metavar="NAME")
    add("--slurm_qos", metavar="NAME")
    add("--slurm_exclude", metavar="NODES", help="nodes not to use, such as node[3-5]")
    add("--slurm_setup", nargs="+", default=[], metavar="COMMAND",
        help="shell commands to run before each task, such as 'module load cuda'")  # fmt: skip
    add("--slurm_sbatch", nargs="+", type=sbatch_argument, default=[], metavar="NAME=VALUE",
        help="further arguments of sbatch, such as reservation=dg or exclusive")  # fmt: skip
    add("--slurm_jobs_per_task", type=int, default=1, metavar="N",
        help="jobs that a task runs one after the other (default: 1)")  # fmt: skip


def check(jobs: Sequence[Job], options: Namespace) -> None:
    """Raise InputError without submitit or Slurm, or for a number that makes no sense."""
    check_at_least("--slurm_jobs_per_task", options.slurm_jobs_per_task, 1)
    check_at_least("--slurm_cpus", options.slurm_cpus, 1)
    slurm_executor(slurm_queue.folder_of(jobs))


def launch(jobs: Sequence[Job], options: Namespace) -> bool:
    """Submit the jobs that no task in the queue has, and return.

    ``--jobs`` limits how many tasks of this launch run at a time. Raises InputError if Slurm does
    not show its queue, or does not accept all jobs.
    """
    try:
        jobs = slurm_queue.select_unqueued(jobs)
    except NoAnswer as error:
        raise InputError(
            f"Slurm does not show its queue: {error}\n"
            "Launch again once it does; now, jobs could be submitted twice."
        ) from error
    if not jobs:
        print("All of them are in Slurm's queue already.")
        return False
    executor = slurm_executor(slurm_queue.folder_of(jobs))
    cpus = options.slurm_cpus or default_cpus(jobs, options)
    executor.update_parameters(**parameters(options, cpus))
    for array in submit(jobs, cpus, options, executor):
        slurm_queue.note(array)  # at once: the next may not be accepted
        count = sum(map(len, array.values()))
        (job_id,) = {name.split("_")[0] for name in array}
        print(f"Submitted {count} jobs in {len(array)} tasks: Slurm job {job_id}.", flush=True)
        if options.jobs:  # limits the tasks of one array: so the next waits for its end
            executor.update_parameters(dependency=f"afterany:{job_id}")
    folder = shlex.quote(options.output_dir)
    print(f"`ndcl-domainbed sweep status --output_dir {folder} --watch` shows how far they are.")
    return False


def submit(
    jobs: Sequence[Job], cpus: int, options: Namespace, executor: Any
) -> Iterator[dict[str, list[Job]]]:
    """Give the jobs to ``executor`` in arrays of tasks; yield the jobs of each task by its id.

    They are yielded array by array, once Slurm has it; an array that is more than a user may
    submit is halved. Raises InputError if Slurm accepts no more.
    """
    from submitit.core.utils import FailedJobError

    each = options.slurm_jobs_per_task
    tasks = [
        Task(list(jobs[first : first + each]), cpus, options.retries)
        for first in range(0, len(jobs), each)
    ]
    size = min(ARRAY, slurm_queue.max_array_size())
    while tasks:
        try:
            with executor.batch():
                array = [executor.submit(task) for task in tasks[:size]]
        except FailedJobError as error:
            reason = str(error).strip() or "sbatch failed"
            if any(words in reason for words in OVER_THE_LIMIT):
                size = min(size, len(tasks)) // 2
                if size:
                    continue
            raise _refusal(reason, len(tasks), each) from error
        yield {made.job_id: task.jobs for task, made in zip(tasks, array, strict=False)}
        del tasks[:size]


OVER_THE_LIMIT = ("submit limit", "MaxSubmit", "Invalid job array specification")
"""What sbatch says of an array with too many tasks."""


def _refusal(reason: str, tasks: int, each: int) -> InputError:
    if any(words in reason for words in OVER_THE_LIMIT):
        hint = (
            f"{tasks} tasks are left: launch again once others have ended, or have each task run "
            f"more jobs, such as --slurm_jobs_per_task {10 * each}; or ask for less time or memory."
        )
    else:
        hint = "Check the flags that begin with --slurm."
    return InputError(f"Slurm did not accept the jobs: {' '.join(reason.split())}\n{hint}")


def slurm_executor(folder: Path) -> Any:
    """Return submitit's executor, which writes to ``folder``. InputError without it or Slurm."""
    with needs_package(
        "--command_launcher slurm needs submitit: pip install 'ndcl-domainbed[slurm]'"
    ):
        import submitit
    try:
        return submitit.SlurmExecutor(folder / "%j", max_num_timeout=REQUEUES)
    except RuntimeError as error:
        raise InputError(
            "--command_launcher slurm: there is no Slurm here (the command srun is missing)."
        ) from error


def default_cpus(jobs: Sequence[Job], options: Namespace) -> int:
    """Return the cores of a task: with a GPU, those of a job and of the loader that feeds it."""
    if not options.slurm_gpus:
        return 1
    if options.num_workers is not None:
        return 1 + int(options.num_workers)
    return 1 + max(loader_processes(job.train_args) for job in jobs)


def parameters(options: Namespace, cpus: int) -> dict[str, Any]:
    """Return the flags as the parameters of submitit's executor."""
    more = {
        **({"mem": options.slurm_mem} if options.slurm_mem else {}),
        **dict(options.slurm_sbatch),
    }
    values = {
        "job_name": "ndcl-domainbed",
        "partition": options.slurm_partition,
        "time": options.slurm_time,
        "gpus_per_node": options.slurm_gpus,
        "constraint": options.slurm_constraint,
        "account": options.slurm_account,
        "qos": options.slurm_qos,
        "exclude": options.slurm_exclude,
        "setup": options.slurm_setup or None,
        "cpus_per_task": cpus,
        "array_parallelism": options.jobs or ARRAY,
        "additional_parameters": more or None,
    }
    return {name: value for name, value in values.items() if value is not None}


def sbatch_argument(text: str) -> tuple[str, str | bool]:
    """Return name and value of an argument of sbatch; True for one without a value.

    >>> sbatch_argument("--reservation=dg"), sbatch_argument("exclusive")
    (('reservation', 'dg'), ('exclusive', True))
    """
    name, equals, value = text.removeprefix("--").partition("=")
    if not re.fullmatch(r"[a-z][a-z-]*", name):
        raise ArgumentTypeError(f"{text!r} is not an argument such as reservation=dg")
    return name, value if equals else True


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
            with exit_on_sigterm():
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
    """Return a time limit, as sbatch takes it, in whole minutes; at least ``MIN_MINUTES``.

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
    if total < MIN_MINUTES:
        raise ArgumentTypeError(
            f"{text!r} is too short: Slurm gives a task notice up to two minutes before its time "
            f"is up; give at least {MIN_MINUTES} minutes"
        )
    return total
