"""Runs the jobs on a Ray cluster, or on a Ray of this machine alone.

Needs the extra ``ray``, a folder that the machines share, and this package on all of them. A job
whose machine is lost goes on elsewhere from its last checkpoint.
"""

from __future__ import annotations

import contextlib
import os
import socket
from argparse import Namespace, _ArgumentGroup
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ndcl_domainbed.errors import InputError
from ndcl_domainbed.sweeping import states, view
from ndcl_domainbed.sweeping.job_client import JobServer
from ndcl_domainbed.sweeping.jobs import Job, cores
from ndcl_domainbed.sweeping.running import Scheduler

LOST_MACHINES = 10
"""How many times a job may lose the machine under it."""

DEVICES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
"""Variables by which Ray gives devices to a task."""

QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}

ANSWER = 10.0
"""Seconds in which a cluster must answer."""

GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a gRPC connection, and so one with Ray, begins (RFC 9113, 3.4); the other side answers."""

_servers: dict[int, JobServer] = {}


def add_flags(group: _ArgumentGroup) -> None:
    """Add the flags that name the cluster and say what a job asks for."""
    add = group.add_argument
    add("--ray_address", metavar="ADDRESS",
        help="of the cluster (default: RAY_ADDRESS, else a Ray of this machine alone)")  # fmt: skip
    add("--ray_cpus", type=int, metavar="N", help="cores and threads of a job (default: 1)")
    add("--ray_gpus", type=float, metavar="SHARE",
        help="GPUs of a job, such as 0.5 (default: 1 where there are any)")  # fmt: skip


def launch(jobs: Sequence[Job], options: Namespace) -> bool:
    """Run the jobs on the cluster, and wait until all of them have ended.

    ``--jobs`` limits how many are handed to Ray at a time. Raises InputError without Ray, or if
    the cluster cannot be reached or has no room for a job.
    """
    ray = connect(getattr(options, "ray_address", None) or os.environ.get("RAY_ADDRESS"))
    try:
        cpus = getattr(options, "ray_cpus", 1)
        gpus = getattr(options, "ray_gpus", None)
        if gpus is None:
            gpus = float(ray.cluster_resources().get("GPU", 0) > 0)
        task = ray.remote(
            num_cpus=cpus, num_gpus=gpus, max_calls=0, max_retries=LOST_MACHINES,
        )(run_one)  # fmt: skip
        with view.shown(jobs) as display:
            hand_out(ray, task, jobs, options, cpus, display)
        return True
    finally:
        ray.shutdown()


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
    if address not in (None, "local", "auto"):
        check_answers(address)
    try:
        if address in (None, "local"):
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


def hand_out(
    ray: Any, task: Any, jobs: Sequence[Job], options: Namespace, cpus: int, display: view.View
) -> None:
    """Keep as many jobs with Ray as there is room for, and some more, until all have ended."""
    to_do = list(reversed(jobs))
    handed: dict[Any, Job] = {}
    while to_do or handed:
        room = options.jobs or 2 * max(1, int(ray.cluster_resources().get("CPU", 1)) // cpus)
        while to_do and len(handed) < room:
            job = to_do.pop()
            display.started(job, states.read_state(job.folder))
            handed[task.remote(job, str(Path.cwd()), cpus, options.retries)] = job
        ended, _ = ray.wait(list(handed), timeout=1.0)
        for reference in ended:
            job = handed.pop(reference)
            try:
                ray.get(reference)
            except ray.exceptions.RayError as error:  # too many machines were lost, or Ray's fault
                print(f"Ray gave up {job.title()}: {str(error).splitlines()[0]}")
            display.ended(job, states.read_state(job.folder))
        display.refresh(list(handed.values()))


def run_one(job: Job, folder: str, threads: int, retries: int) -> None:
    """Run one job, in a process of its own; called on a machine of the cluster.

    The process that starts jobs is kept for the next call.
    """
    os.chdir(folder)
    devices = {name: os.environ[name] for name in DEVICES if name in os.environ}
    display = view.PlainView([job])
    scheduler = Scheduler([job], [devices], lambda: kept_server(threads), retries, display)
    try:
        scheduler.run()
    except BaseException:
        scheduler.stop()
        raise


def kept_server(threads: int) -> JobServer:
    """Return this process's server of jobs with so many threads."""
    if threads not in _servers or not _servers[threads].runs:
        _servers[threads] = JobServer(threads)
    return _servers[threads]
