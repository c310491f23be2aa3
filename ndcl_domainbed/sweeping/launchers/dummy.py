"""Prints the commands that would run the jobs, ready for a shell."""

from __future__ import annotations

import shlex
from argparse import Namespace, _ArgumentGroup
from collections.abc import Sequence

from ndcl_domainbed.sweeping.jobs import Job

STARTS_JOBS = False


def add_flags(group: _ArgumentGroup) -> None:
    """Add nothing: this launcher has no flags."""


def launch(jobs: Sequence[Job], options: Namespace) -> bool:
    """Print one command a line."""
    for job in jobs:
        print(shlex.join(job.command()))
    return False
