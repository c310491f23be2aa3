"""Runs N jobs at a time on this machine."""

from __future__ import annotations

from argparse import Namespace, _ArgumentGroup
from collections.abc import Sequence

from ndcl_domainbed.processes import cores
from ndcl_domainbed.sweeping.jobs import Job, threads_per_job
from ndcl_domainbed.sweeping.running import run_jobs

CAN_PAUSE = True


def add_flags(group: _ArgumentGroup) -> None:
    """Add nothing: --jobs and --retries are flags of every launcher."""


def check(jobs: Sequence[Job], options: Namespace) -> None:
    """Raise InputError if a dataset is missing, or if it cannot be split as asked."""
    from ndcl_domainbed.sweeping import checking  # torch: not for --help

    checking.check_data(jobs)


def launch(jobs: Sequence[Job], options: Namespace) -> bool:
    """Run the jobs, and wait until all of them have ended, those of other launchers too."""
    slots = make_slots(options)
    run_jobs(jobs, slots[: len(jobs)], threads_per_job(len(slots)), options.retries)
    return True


def make_slots(options: Namespace) -> list[dict[str, str]]:
    """Return the slots of jobs, which add nothing to their environment.

    By default one per core, or a single one where the jobs use a GPU, which they would share.
    """
    return [{}] * (options.jobs or (1 if _uses_gpu(options.device) else cores()))


def _uses_gpu(device: str | None) -> bool:
    import torch  # not for --help

    if device is None:
        return torch.cuda.device_count() > 0  # does not touch the devices
    return not device.startswith("cpu")
