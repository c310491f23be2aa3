"""A task is preempted as a cluster does it, another is requeued by force, a third is killed."""

import os
import signal
import subprocess
from pathlib import Path

from tests.slurm import tasks
from tests.slurm.cluster import queue, wait

FLAGS = [*tasks.SLURM, "--slurm_time", "10:00:00"]


def run(folder: Path, reference: Path) -> None:
    """Launch, disturb, wait, and check every job."""
    print(tasks.launch(folder, *FLAGS).splitlines()[-2])
    first, second = tasks.hold_jobs(folder, 2)
    out = tasks.launch(folder, *FLAGS)
    assert "About to launch 1 jobs." in out, out
    assert "All of them are in Slurm's queue already." in out, out
    subprocess.run(["scancel", "--signal=USR2", first.task.name], check=True)
    first.let_go()
    subprocess.run(["scontrol", "requeue", second.task.name], check=True)  # lets it go (SIGCONT)
    for item in (first, second):
        wait(lambda item=item: tasks.has_ended(item.claim), "its job has stopped")
        item.task.start_soon()
    assert "Job has not timed out." in first.task.log(folder)
    (third,) = tasks.hold_jobs(folder, 1, others=[first.folder, second.folder])
    os.kill(third.claim.owner.pid, signal.SIGKILL)
    wait(lambda: not queue(), "the queue is empty")
    out = tasks.launch(folder, *FLAGS)
    assert "3 jobs: 2 done, 0 running, 0 failed, 1 waiting." in out, out
    wait(lambda: not queue(), "the queue is empty again")
    assert [item.task.starts(folder) for item in (first, second, third)] == [2, 2, 1]
    tasks.assert_as_undisturbed(folder, reference)
