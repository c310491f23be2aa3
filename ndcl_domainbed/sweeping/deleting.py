"""Deletes the folder of a job, unless somebody runs it."""

from __future__ import annotations

import shutil

from ndcl_domainbed.sweeping import claims, states
from ndcl_domainbed.sweeping.jobs import Job


def delete(job: Job) -> bool:
    """Delete the folder of ``job``; return whether it was deleted.

    A job that is done, or that another process has just taken, is left alone. The folder is
    claimed and moved aside first, so that no launcher can start the job in what is half deleted.
    """
    state = states.read_state(job.folder)
    if state.name in (states.DONE, states.RUNNING):
        return False
    claim = claims.take(job.folder, state.next_attempt)
    if claim is None:
        return False
    aside = job.folder.with_name(f".deleted.{job.folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    job.folder.rename(aside)
    (aside / "results.jsonl").unlink(missing_ok=True)  # or a reader of results would count it
    shutil.rmtree(aside)
    return True
