"""Runs the jobs on a Ray cluster, or on a Ray of this machine alone.

Needs the extra ``ray``, a folder that the machines share, and this package on all of them. A job
whose machine is lost resumes elsewhere from its last checkpoint.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
import time
from argparse import Namespace, _ArgumentGroup
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

from ndcl_domainbed.errors import InputError, RunFailure
from ndcl_domainbed.sweeping import states, view
from ndcl_domainbed.sweeping.jobs import Job, cores
from ndcl_domainbed.sweeping.running import run_jobs

LOST_MACHINES = 10
"""How many times a job may lose the machine under it."""

QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}

OF_THIS_MACHINE = (None, "local")
"""Addresses for which a Ray of this machine alone is started."""

ANSWER = 10.0
"""Seconds in which a cluster must answer."""

SILENCE = 30.0
"""Seconds without an answer after which a cluster is lost; after 60 Ray ends the process itself."""

GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a gRPC connection, and so one with Ray, begins (RFC 9113, 3.4); the other side answers."""


def add_flags(group: _ArgumentGroup) -> None:
    """Add the flags that name the cluster and say what a job asks for."""
    add = group.add_argument
    add("--ray_address", metavar="ADDRESS",
        help="of the cluster (default: RAY_ADDRESS, else a Ray of this machine alone)")  # fmt: skip
    add("--ray_cpus", type=int, default=1, metavar="N",
        help="cores and threads of a job (default: 1)")  # fmt: skip
    add("--ray_gpus", type=float, metavar="SHARE",
        help="GPUs of a job, such as 0.5 (default: 1 where there are any)")  # fmt: skip


def launch(jobs: Sequence[Job], options: Namespace) -> bool:
    """Run the jobs on the cluster, and wait until all of them have ended.

    ``--jobs`` limits how many are handed to Ray at a time. Raises InputError without Ray, if the
    cluster cannot be reached, or if a job asks for what cannot be had; RunFailure if the cluster
    is lost later.
    """
    cpus = getattr(options, "ray_cpus", 1)
    gpus = getattr(options, "ray_gpus", None)
    check_request(cpus, gpus)
    address = getattr(options, "ray_address", None) or os.environ.get("RAY_ADDRESS")
    ray = connect(address)
    try:
        there = resources(ray)
        if gpus is None:
            gpus = float(there.get("GPU", 0) > 0)
        if address in OF_THIS_MACHINE:  # a cluster may get larger machines
            check_room(there, cpus, gpus)
        task = ray.remote(
            num_cpus=cpus, num_gpus=gpus, max_calls=0, max_retries=LOST_MACHINES,
        )(run_one)  # fmt: skip
        with view.show_progress(jobs) as display:
            hand_out(ray, task, jobs, options, cpus, display)
        return True
    finally:
        with contextlib.suppress(Exception):  # a lost cluster cannot be left
            ray.shutdown()


def check_request(cpus: int, gpus: float | None) -> None:
    """Raise InputError for numbers of cores and GPUs that no job can ask for."""
    if cpus < 1:
        raise InputError(f"--ray_cpus must be at least 1; it was given {cpus}")
    if gpus is not None and not (0 <= gpus <= 1 or (gpus > 1 and gpus.is_integer())):
        raise InputError(f"--ray_gpus is a share of a GPU or a whole number; it was given {gpus}")


def check_room(there: Mapping[str, float], cpus: int, gpus: float) -> None:
    """Raise InputError if this machine has not got what a job asks for: it would wait for ever."""
    for flag, asked, name in (("--ray_cpus", cpus, "CPU"), ("--ray_gpus", gpus, "GPU")):
        if asked > there.get(name, 0):
            raise InputError(
                f"{flag} {asked:g} is more than the {there.get(name, 0):g} that this machine has."
            )


def connect(address: str | None) -> Any:
    """Return the module ray, connected to the cluster at ``address`` or to one made here.

    Raises InputError without Ray, or for whatever keeps Ray from it.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise InputError(
            "--command_launcher ray needs Ray: pip install 'ndcl-domainbed[ray]'"
        ) from error
    if address not in (*OF_THIS_MACHINE, "auto"):
        check_answers(address)
    try:
        if address in OF_THIS_MACHINE:
            ray.init("local", num_cpus=cores(), include_dashboard=False, **QUIET)
        else:
            ray.init(address, **QUIET)
    except Exception as error:  # Ray raises many kinds, plain Exception among them
        reason = " ".join(str(error).split()) or type(error).__name__
        where = f"answers at {address}" if address else "can be started here"
        raise InputError(f"no Ray cluster {where}: {reason}") from error
    return ray


def check_answers(address: str) -> None:
    """Raise InputError if nothing answers at ``address``, for which Ray waits many minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not (host and port.isdigit()):
        raise InputError(f"--ray_address {address}: give it as HOST:PORT or ray://HOST:PORT")
    try:
        link = socket.create_connection((host, int(port)), timeout=ANSWER)
        with link, contextlib.suppress(ConnectionError):  # one that wants TLS may hang up
            link.sendall(GREETING)
            link.recv(1)
    except OSError as error:
        raise InputError(f"no Ray cluster answers at {address}: {error}") from error


def resources(ray: Any) -> dict[str, float]:
    """Return what the machines of the cluster have together. Raises RunFailure if it is lost.

    A cluster without any machine may still get one.
    """
    deadline = time.monotonic() + SILENCE
    while (left := deadline - time.monotonic()) > 0:
        with unless_lost(ray):
            found = _asked(ray, left)
        if found:
            return found
        time.sleep(min(1.0, left))
    raise lost(f"it has not answered for {SILENCE:g} seconds")


def _asked(ray: Any, seconds: float) -> dict[str, float]:
    """Return the cluster's resources; none if it does not answer in time.

    It is asked in a thread: Ray's own call does not return while a cluster does not answer.
    """
    answers: queue.SimpleQueue[dict[str, float] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(ray.cluster_resources())
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        return {}
    if isinstance(answer, Exception):
        raise answer
    return answer


@contextlib.contextmanager
def unless_lost(ray: Any) -> Iterator[None]:
    """Raise RunFailure for what Ray raises in the block when its cluster is lost."""
    try:
        yield
    except (ConnectionError, RuntimeError, ray.exceptions.RayError) as error:
        raise lost(" ".join(str(error).split()) or type(error).__name__) from error


def lost(reason: str) -> RunFailure:
    """Return the error for a cluster that was there and is no longer."""
    return RunFailure(
        f"the Ray cluster is lost: {shorten(reason, 200)}\n"
        "Launch again once there is one: the jobs resume from their last checkpoints."
    )


def hand_out(
    ray: Any, task: Any, jobs: Sequence[Job], options: Namespace, cpus: int, display: view.View
) -> None:
    """Keep as many jobs with Ray as there is room for, and some more, until all have ended.

    Raises RunFailure if the cluster is lost.
    """
    to_do = list(reversed(jobs))
    handed: dict[Any, Job] = {}
    while to_do or handed:
        found = resources(ray)  # also with --jobs: it tells that the cluster is still there
        room = options.jobs or 2 * max(1, int(found.get("CPU", 1)) // cpus)
        while to_do and len(handed) < room:
            job = to_do.pop()
            display.started(job)
            with unless_lost(ray):
                handed[task.remote(job, str(Path.cwd()), cpus, options.retries)] = job
        with unless_lost(ray):
            ended, _ = ray.wait(list(handed), timeout=1.0)
        for reference in ended:
            job = handed.pop(reference)
            take_back(ray, reference, job)
            display.ended(job, states.read_state(job.folder))
        display.refresh(list(handed.values()))


def take_back(ray: Any, reference: Any, job: Job) -> None:
    """Say so if Ray gave up a job that has ended. Raises RunFailure if the cluster is lost."""
    with unless_lost(ray):
        try:
            ray.get(reference)
        except ray.exceptions.RayError as error:  # too many machines were lost, or Ray's fault
            print(f"Ray gave up {job.title()}: {str(error).splitlines()[0]}")


def run_one(job: Job, folder: str, threads: int, retries: int) -> None:
    """Run one job, in a process of its own; called on a machine of the cluster."""
    os.chdir(folder)
    run_jobs([job], [{}], threads, retries)
