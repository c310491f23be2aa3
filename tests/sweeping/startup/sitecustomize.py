"""Python runs this first in the processes that tests of sweeps start: it notes what jobs do.

Each line of the file ``SWEEP_TRACE`` is an event: the job's folder, the attempt, the device that
its slot has given it, and ``start``, ``update`` or ``end``. Lines are added in the order of the
events, whatever the clock says. ``SWEEP_HEARTBEAT`` and ``SWEEP_WATCHED`` make claims move, and be
taken over, faster; ``SWEEP_MEMORY`` is how many bytes the first attempt may take in its updates.
"""

import os
import resource

from ndcl_domainbed.sweeping import claims, worker
from ndcl_domainbed.sweeping.jobs import Job

_run = worker.run


def run(job: Job, number: int) -> str:
    """Run a job and note its events."""
    from ndcl_domainbed import registry

    trace = os.open(os.environ["SWEEP_TRACE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    algorithm = registry.get_algorithm_class(job.train_args["algorithm"])
    device = os.environ.get("CUDA_VISIBLE_DEVICES") or "-"
    update = algorithm.update

    def note(what):
        os.write(trace, f"{job.folder.name} {number} {device} {what}\n".encode())

    def noted_update(*args, **kwargs):
        if "SWEEP_MEMORY" in os.environ and number == 0:
            limit_memory(int(os.environ["SWEEP_MEMORY"]))
        note("update")
        return update(*args, **kwargs)

    algorithm.update = noted_update
    note("start")
    try:
        return _run(job, number)
    finally:
        note("end")


def limit_memory(more: int) -> None:
    """Have the system refuse this process any memory beyond what it has and ``more`` bytes."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - as little as possible is imported here
        pages = int(file.read().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


if "SWEEP_TRACE" in os.environ:
    worker.run = run
    if "SWEEP_HEARTBEAT" in os.environ:
        claims.HEARTBEAT = float(os.environ["SWEEP_HEARTBEAT"])
    if "SWEEP_WATCHED" in os.environ:
        claims.WATCHED = float(os.environ["SWEEP_WATCHED"])
