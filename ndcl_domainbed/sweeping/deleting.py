"""Deletes the folders of jobs, unless somebody runs them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence

from ndcl_domainbed.errors import InputError
from ndcl_domainbed.locks import locked
from ndcl_domainbed.run_folder import (
    DONE,
    DONE_FILE,
    INTERRUPTED,
    LOCK_FILE,
    RECORDS_FILE,
    RUNNING,
    STOPPED,
)
from ndcl_domainbed.sweeping import claims, states
from ndcl_domainbed.sweeping.claims import ClaimWatch
from ndcl_domainbed.sweeping.jobs import Job


def delete_all(jobs: Sequence[Job]) -> int:
    """Delete the folders of ``jobs``; return how many were deleted.

    Jobs that are done, or that anybody runs, are left alone. A claim of another machine that looks
    old is watched for a while first: the clock of the file server may have jumped.
    """
    watch = ClaimWatch()
    doubtful = [job for job in jobs if states.read_state(job.folder, watch).name == RUNNING]
    if doubtful:
        print(
            f"{len(doubtful)} of them may still run elsewhere: "
            f"watching their claims for {claims.WATCHED:g} seconds.",
            flush=True,
        )
        time.sleep(claims.WATCHED)
    return sum(delete(job, watch) for job in jobs)


def delete(job: Job, watch: ClaimWatch) -> bool:
    """Delete the folder of ``job``; return whether it was deleted.

    A job that is done or was stopped early, whose owner ``watch`` does not know to be dead, or that
    another process has just taken, is left alone. The folder is claimed and moved aside first, so
    that no launcher can start the job in what is half deleted. A run that no sweep has started
    makes no claim, but holds the lock of its folder: of such a folder a line says that it stays,
    and why.
    """
    state = states.read_state(job.folder, watch)
    if state.name in (DONE, RUNNING, STOPPED):
        return False
    try:
        claim = claims.take(job.folder, state.next_attempt)
    except OSError as error:
        print(f"Left alone: cannot write to {job.folder}: {error.strerror}.")
        return False
    if claim is None:
        return False
    aside = job.folder.with_name(f".deleted.{job.folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        with locked(job.folder / LOCK_FILE):
            if (job.folder / DONE_FILE).exists():  # its run has ended in the meantime
                claim.finish(INTERRUPTED)
                return False
            job.folder.rename(aside)
    except InputError as error:
        claim.finish(INTERRUPTED)
        print(f"Left alone: {str(error).splitlines()[0]}")
        return False
    (aside / RECORDS_FILE).unlink(missing_ok=True)  # or a reader of results would count it
    shutil.rmtree(aside)
    return True
