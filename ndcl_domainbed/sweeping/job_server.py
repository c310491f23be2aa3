"""The process that starts jobs: it has imported torch once, and forks a process for each.

It runs nothing itself. A process that forks must have no threads, and must never have entered a
parallel region or touched a device, or its children inherit locks and pools that no longer work;
so this one only imports, and works with one file descriptor and the ends of its children.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing
import os
import signal
import sys
import time
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from ndcl_domainbed.sweeping import worker
from ndcl_domainbed.sweeping.jobs import Job

GRACE = 30.0
"""Seconds that jobs have to save their progress when the sweep is stopped."""

IMPORTED_LATER = (
    "torch._dynamo", "torch.utils.data", "torch.utils.serialization", "torchvision.transforms",
    "scipy.stats", "PIL.JpegImagePlugin", "PIL.PngImagePlugin", "ndcl_domainbed.registry",
    "ndcl_domainbed.training.run", "imbalance_splits.file_list",
    "imbalance_splits.folder_scan",
)  # fmt: skip
"""What a run would import, some of it not before its first step."""

IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that a terminal or a cluster sends to all processes: the launcher acts upon them."""

STATUS_NOT_MINE = 75
"""Exit status of a job's process when another process has the job."""

STATUS_CANNOT_WRITE = 74
"""Exit status of a job's process when its folder cannot be written."""


def serve(launcher: Connection) -> None:
    """Start the jobs that ``launcher`` sends and report their ends, until it says stop or dies.

    It sends (key, job, attempt number, environment); it gets (key, exit status), where a negative
    status is the number of the signal that killed the job.
    """
    warm_up()
    fork = multiprocessing.get_context("fork")
    running: dict[int, tuple[Any, BaseProcess]] = {}
    while True:
        for ready in wait([launcher, *running]):
            if isinstance(ready, int):
                key, process = running.pop(ready)
                process.join()
                with contextlib.suppress(BrokenPipeError):  # what it will read next is the end
                    launcher.send((key, process.exitcode))
                continue
            try:
                message = launcher.recv()
            except (EOFError, ConnectionResetError):
                message = None
            if message is None:
                stop([process for _, process in running.values()])
                return
            key, *arguments = message
            process = fork.Process(target=_run, args=(launcher, *arguments))
            process.start()
            running[process.sentinel] = (key, process)


def warm_up() -> None:
    """Import what every job needs, and have the garbage collector leave it alone."""
    for name in IMPORTED_LATER:
        importlib.import_module(name)
    from ndcl_domainbed import registry

    registry.algorithm_names()  # imports the module of every algorithm
    gc.collect()
    gc.freeze()


def stop(processes: list[BaseProcess]) -> None:
    """Ask jobs to end, and kill those that have not after a while."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        process.kill()


def _run(launcher: Connection, job: Job, number: int, environment: dict[str, str]) -> None:
    """Be the process of one job."""
    launcher.close()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_DFL)
    os.environ.update(environment)
    try:
        outcome = worker.run(job, number)
    except OSError:  # of the run's own errors none comes here: they are in its folder
        sys.exit(STATUS_CANNOT_WRITE)
    sys.exit(_STATUSES[outcome])


_STATUSES = {worker.DONE: 0, worker.FAILED: 1, worker.NOT_MINE: STATUS_NOT_MINE}


if __name__ == "__main__":
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    serve(Connection(int(sys.argv[1])))
    os._exit(0)  # libraries that all jobs need complain of leaks when an interpreter ends in order
