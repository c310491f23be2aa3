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
    at_a_time = options.jobs or cores()
    slots: list[dict[str, str]] = [{}] * min(at_a_time, len(jobs))
    run_jobs(jobs, slots, threads_per_job(at_a_time), options.retries)
    return True
