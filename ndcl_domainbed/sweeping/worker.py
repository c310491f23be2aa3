"""Runs one job in the process that calls it, under a claim that it keeps alive."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from imbalance_splits.discovery import use_files
from ndcl_domainbed.errors import InputError, RunFailure
from ndcl_domainbed.run_folder import (
    DONE,
    DONE_FILE,
    ERR_FILE,
    FAILED,
    INTERRUPTED,
    PAUSED,
    Claim,
)
from ndcl_domainbed.sweeping import claims
from ndcl_domainbed.sweeping.jobs import Job

NOT_MINE = "not mine"
"""What :func:`run` returns for a job that another process has taken, or that is done."""

STATUS_NOT_MINE = 75
"""Exit status of a job's process when another process has the job."""

STATUS_CANNOT_WRITE = 74
"""Exit status of a job's process when its folder cannot be written."""


def run_and_exit(job: Job, number: int) -> NoReturn:
    """Be the process of ``job``: run it and exit with 0, 1 or a status from above."""
    statuses = {DONE: 0, PAUSED: 0, FAILED: 1, NOT_MINE: STATUS_NOT_MINE}
    try:
        status = statuses[run(job, number)]
    except OSError:  # of the run's own errors none comes here: they are in its folder
        status = STATUS_CANNOT_WRITE
    sys.exit(status)


def run(job: Job, number: int) -> str:
    """Run ``job`` as attempt ``number``; return how it ended.

    Returns ``DONE``, ``PAUSED``, ``FAILED`` or ``NOT_MINE``. What the run prints goes to its folder
    alone; the reason of a failure is the last line of its ``err.txt``. Raises OSError if the claim
    cannot be written.
    """
    claim = claims.take(job.folder, number)
    if claim is None:
        return NOT_MINE
    if (job.folder / DONE_FILE).exists():
        claim.finish(DONE)
        return NOT_MINE
    stop = keep_alive(claim)
    try:
        with redirect_output(job.folder):
            return _train(job, claim)
    finally:
        stop.set()


def _train(job: Job, claim: Claim) -> str:
    from ndcl_domainbed.training.run import train

    try:
        use_files(job.own_code)
        train(job.arguments(), pause_after=job.n_steps if job.pauses else None)
    except (InputError, RunFailure) as error:
        append_error(job.folder, f"error: {error}")
        claim.finish(FAILED, str(error))
    except Exception as error:
        reason = traceback.format_exception_only(error)[-1].strip()
        append_error(job.folder, traceback.format_exc(), reason)
        claim.finish(FAILED, reason, crashed=True)
    except BaseException:
        claim.finish(INTERRUPTED)
        raise
    else:
        outcome = DONE if (job.folder / DONE_FILE).exists() else PAUSED
        claim.finish(outcome)
        return outcome
    return FAILED


def append_error(folder: Path, text: str, ending: str | None = None) -> None:
    """Add ``text`` to the job's ``err.txt``, unless the run has ended it with that itself.

    ``ending``: its last lines, where the run may have written the others differently: a traceback
    begins where the error is caught.
    """
    ending = (ending or text).rstrip() + "\n"
    with (folder / ERR_FILE).open("a+", encoding="utf-8", errors="replace") as file:
        file.seek(0)
        if not file.read().endswith(ending):
            file.write(text.rstrip() + "\n")


@contextmanager
def redirect_output(folder: Path) -> Iterator[None]:
    """Send what the block prints nowhere, and what libraries write to standard error to err.txt.

    The run itself copies what Python prints to its own files; here come the messages of native
    code, such as those of an abort.
    """
    kept = sys.stdout, sys.stderr, os.dup(1), os.dup(2)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    for target, number in ((os.devnull, 1), (folder / ERR_FILE, 2)):
        handle = os.open(target, flags, 0o644)
        os.dup2(handle, number)
        os.close(handle)
    with Path(os.devnull).open("w") as nowhere:
        sys.stdout = sys.stderr = nowhere
        try:
            yield
        finally:
            sys.stdout, sys.stderr = kept[:2]
            for handle, number in ((kept[2], 1), (kept[3], 2)):
                os.dup2(handle, number)
                os.close(handle)


def keep_alive(claim: Claim) -> threading.Event:
    """Touch ``claim`` in a thread until the returned event is set.

    A process that has lost the job to another, which must not find it writing, is ended.
    """
    stop = threading.Event()
    threading.Thread(target=_beat, args=(claim, stop), name="heartbeat", daemon=True).start()
    return stop


def _beat(claim: Claim, stop: threading.Event) -> None:
    while not stop.wait(claims.HEARTBEAT):
        try:
            lost = claim.is_lost()
            if not lost:
                claim.touch()
        except OSError:  # the file system is away for a moment
            continue
        if lost and not stop.is_set():
            os.kill(os.getpid(), signal.SIGKILL)
