"""One job is killed, its task is preempted as a cluster does it, another is requeued by force."""

from __future__ import annotations

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
    first, second = tasks.hold_two(folder)
    out = tasks.launch(folder, *FLAGS)
    assert "About to launch 1 jobs." in out, out
    assert "All of them are in Slurm's queue already." in out, out
    first = kill(first)
    subprocess.run(["scancel", "--signal=USR2", first.task.name], check=True)
    told = "Job has not timed out."
    wait(lambda: told in first.task.log(folder), f"task {first.task.name} is told to leave")
    first.let_go()
    subprocess.run(["scontrol", "requeue", second.task.name], check=True)  # lets it go (SIGCONT)
    for item in (first, second):
        wait(lambda item=item: tasks.has_ended(item.claim), "its job has stopped")
        item.task.start_soon()
    wait(lambda: not queue(), "the queue is empty")
    for item in (first, second):
        assert item.task.starts(folder) == 2
    tasks.assert_as_undisturbed(folder, reference)


def kill(item: tasks.Held) -> tasks.Held:
    """Kill the process of a job, and hold the one with which it goes on in the same task."""
    os.kill(item.claim.owner.pid, signal.SIGKILL)
    claim = wait(lambda: tasks.again(item.claim), "the job that was killed goes on")
    records = item.folder / "results.jsonl"
    wait(lambda: records.read_bytes() != item.records, "it gets on")
    again = tasks.hold(claim)
    assert again.task == item.task
    return again
