"""Runs the jobs on a Ray cluster, or on a Ray of this machine alone.

Needs the extra ``ray``, a folder that the machines share, and this package on all of them. A job
whose machine is lost resumes elsewhere from its last checkpoint.
"""

from __future__ import annotations

import contextlib
import os
import socket
from argparse import Namespace, _ArgumentGroup
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

from imbalance_splits.errors import needs_package
from ndcl_domainbed.errors import InputError, RunFailure
from ndcl_domainbed.processes import cores
from ndcl_domainbed.sweeping import states, view
from ndcl_domainbed.sweeping.jobs import Job
from ndcl_domainbed.sweeping.running import run_jobs
from ndcl_domainbed.training.arguments import check_at_least

LOST_MACHINES = 10
"""How many times a job may lose the machine under it."""

QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}

OF_THIS_MACHINE = (None, "local")
"""Addresses for which a Ray of this machine alone is started."""

ANSWER = 10.0
"""Seconds in which a cluster must answer."""

CAN_PAUSE = True


def add_flags(group: _ArgumentGroup) -> None:
    """Add the flags that name the cluster and say what a job asks for."""
    add = group.add_argument
    add("--ray_address", metavar="ADDRESS", default=os.environ.get("RAY_ADDRESS"),
        help="of the cluster (default: RAY_ADDRESS, else a Ray of this machine alone)")  # fmt: skip
    add("--ray_cpus", type=int, default=1, metavar="N",
        help="cores and threads of a job (default: 1)")  # fmt: skip
    add("--ray_gpus", type=float, metavar="SHARE",
        help="GPUs of a job, such as 0.5 (default: 1 where there are any)")  # fmt: skip


def check(jobs: Sequence[Job], options: Namespace) -> None:
    """Raise InputError without Ray, if no cluster answers, or for what no job can ask for."""
    gpus = options.ray_gpus
    check_at_least("--ray_cpus", options.ray_cpus, 1)
    if gpus is not None and not (0 <= gpus <= 1 or (gpus > 1 and gpus.is_integer())):
        raise InputError(f"--ray_gpus is a share of a GPU or a whole number; got {gpus}")
    import_ray()
    if options.ray_address not in (*OF_THIS_MACHINE, "auto"):
        check_answers(options.ray_address)


def launch(jobs: Sequence[Job], options: Namespace) -> bool:
    """Run the jobs on the cluster, and wait until all of them have ended.

    ``--jobs`` limits how many are handed to Ray at a time. Raises InputError if Ray does not start
    or a job asks for more than this machine has; RunFailure if the cluster is lost later.
    """
    ray = connect(options.ray_address)
    try:
        found = ray.cluster_resources()
        gpus = float(found.get("GPU", 0) > 0) if options.ray_gpus is None else options.ray_gpus
        if options.ray_address in OF_THIS_MACHINE:  # a cluster may get larger machines
            check_room(found, options.ray_cpus, gpus)
        task = ray.remote(
            num_cpus=options.ray_cpus, num_gpus=gpus, max_calls=0, max_retries=LOST_MACHINES,
        )(run_one)  # fmt: skip
        with view.show_progress(jobs) as display:
            hand_out(ray, task, jobs, options, display)
        return True
    finally:
        with contextlib.suppress(Exception):  # a lost cluster cannot be left
            ray.shutdown()


def run_one(job: Job, folder: str, threads: int, retries: int) -> None:
    """Run one job, in a process of its own; called on a machine of the cluster."""
    os.chdir(folder)
    run_jobs([job], [{}], threads, retries)


def check_room(found: Mapping[str, float], cpus: int, gpus: float) -> None:
    """Raise InputError if this machine lacks what a job asks for: it would wait forever."""
    for flag, asked, name in (("--ray_cpus", cpus, "CPU"), ("--ray_gpus", gpus, "GPU")):
        if asked > found.get(name, 0):
            raise InputError(
                f"{flag} {asked:g} is more than the {found.get(name, 0):g} that this machine has."
            )


def import_ray() -> Any:
    """Return the module ray. Raises InputError if it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with needs_package("--command_launcher ray needs Ray: pip install 'ndcl-domainbed[ray]'"):
        import ray
    return ray


def check_answers(address: str) -> None:
    """Raise InputError if nobody listens at ``address``, for which Ray would wait for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not (host and port.isdigit()):
        raise InputError(f"--ray_address {address}: give it as HOST:PORT or ray://HOST:PORT")
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER).close()
    except OSError as error:
        raise InputError(f"no Ray cluster answers at {address}: {error}") from error


def connect(address: str | None) -> Any:
    """Return the module ray, connected to the cluster at ``address`` or to one made here.

    Raises InputError for whatever keeps Ray from it.
    """
    ray = import_ray()
    try:
        if address in OF_THIS_MACHINE:
            ray.init("local", num_cpus=cores(), include_dashboard=False, **QUIET)
        else:
            ray.init(address, **QUIET)
    except Exception as error:  # Ray raises many kinds, plain Exception among them
        reason = " ".join(str(error).split()) or type(error).__name__
        if address in OF_THIS_MACHINE:
            raise InputError(
                f"Ray cannot be started here: {shorten(reason, 300)}\n"
                "Look at the end of /tmp/ray/session_latest/logs/gcs_server.out and raylet.out; "
                "`ray stop` ends what an earlier Ray has left."
            ) from error
        raise InputError(
            f"no Ray cluster can be used at {address}: {shorten(reason, 300)}\n"
            "Check `ray status` on its head node, and that `ray --version` is the same on both."
        ) from error
    return ray


def hand_out(
    ray: Any, task: Any, jobs: Sequence[Job], options: Namespace, display: view.View
) -> None:
    """Keep as many jobs with Ray as there is room for, and some more, until all have ended.

    Raises RunFailure if the cluster is lost.
    """
    to_do = list(reversed(jobs))
    handed: dict[Any, Job] = {}
    try:
        while to_do or handed:
            cpus = int(ray.cluster_resources().get("CPU", 1))  # none while there is no machine
            room = options.jobs or 2 * max(1, cpus // options.ray_cpus)
            while to_do and len(handed) < room:
                job = to_do.pop()
                display.started(job)
                reference = task.remote(job, str(Path.cwd()), options.ray_cpus, options.retries)
                handed[reference] = job
            for reference in ray.wait(list(handed), timeout=1.0)[0]:
                job = handed.pop(reference)
                try:
                    ray.get(reference)
                except ray.exceptions.RayError as error:  # too many machines were lost, say
                    print(f"Ray gave up {job.title()}: {str(error).splitlines()[0]}")
                display.ended(job, states.read_state(job.folder))
            display.refresh(list(handed.values()))
    except (ConnectionError, RuntimeError, ray.exceptions.RayError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RunFailure(
            f"the Ray cluster is lost: {shorten(reason, 200)}\n"
            "Launch again once there is one: the jobs resume from their last checkpoints."
        ) from error
