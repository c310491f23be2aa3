"""Runs one job on each visible GPU of this machine, or more with --jobs_per_gpu."""

from __future__ import annotations

import os
from argparse import Namespace, _ArgumentGroup
from collections.abc import Sequence

from ndcl_domainbed.errors import InputError
from ndcl_domainbed.sweeping.jobs import Job, threads_per_job
from ndcl_domainbed.sweeping.running import run_jobs
from ndcl_domainbed.training.arguments import check_at_least

VISIBLE = "CUDA_VISIBLE_DEVICES"

CAN_PAUSE = True


def add_flags(group: _ArgumentGroup) -> None:
    """Add --jobs_per_gpu."""
    group.add_argument("--jobs_per_gpu", type=int, default=1, metavar="N",
        help="jobs at a time on each GPU (default: 1)")  # fmt: skip


def check(jobs: Sequence[Job], options: Namespace) -> None:
    """Raise InputError without a GPU, or for a dataset that is missing or cannot be split."""
    from ndcl_domainbed.sweeping import checking  # torch: not for --help

    check_at_least("--jobs_per_gpu", options.jobs_per_gpu, 1)
    devices()
    checking.check_data(jobs)


def launch(jobs: Sequence[Job], options: Namespace) -> bool:
    """Run the jobs, and wait until all of them have ended, those of other launchers too."""
    slots = make_slots(options)
    run_jobs(jobs, slots[: len(jobs)], threads_per_job(len(slots)), options.retries)
    return True


def make_slots(options: Namespace) -> list[dict[str, str]]:
    """Return the slots of jobs, each with its GPU; `sweep plan` times jobs in them as well."""
    slots = [{VISIBLE: device} for _ in range(options.jobs_per_gpu) for device in devices()]
    return slots[: options.jobs]


def devices() -> list[str]:
    """Return the names of the GPUs that may be used; InputError if there is none."""
    import torch

    count = torch.cuda.device_count()  # does not touch the devices
    visible = os.environ.get(VISIBLE, "")
    if count == 0:
        hint = f" ({VISIBLE} is {visible!r})" if VISIBLE in os.environ else ""
        raise InputError(
            f"--command_launcher multi_gpu: no GPU is visible here{hint}. "
            "Use --command_launcher local to run on the CPU."
        )
    named = [name.strip() for name in visible.split(",") if name.strip()]
    return named[:count] or [str(index) for index in range(count)]
