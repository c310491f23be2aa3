"""Two tasks run out of time twice, on the node's GPUs.

submitit has Slurm signal a task 90 seconds before its time is up, and Slurm does so up to half a
minute earlier: of a limit of three minutes, the task gets about one. Its job is held (SIGSTOP)
until then, so that it does not end before on a fast machine, and is let go to save its progress.
"""

import re
from pathlib import Path

from ndcl_domainbed.run_folder import DONE, INTERRUPTED, all_claims
from ndcl_domainbed.sweeping.launchers.slurm import REQUEUES
from tests.slurm import tasks
from tests.slurm.cluster import FEATURE, GPU, GPUS, output, queue, say, wait

ROUNDS = 2

FLAGS = [*tasks.SLURM, "--slurm_jobs_per_task", "2",
         "--slurm_gpus", f"{GPU}:1", "--slurm_constraint", FEATURE]  # fmt: skip

REFUSALS = {
    ("--slurm_gpus", f"{GPU}:{GPUS + 1}"): "Requested node configuration is not available",
    ("--slurm_constraint", "absent"): "Invalid feature specification",
}
"""What Slurm says of what no node has."""


def run(folder: Path, reference: Path, minutes: int) -> None:
    """Launch with that much time, let the time run out, wait, and check every job."""
    for flags, reason in REFUSALS.items():
        err = tasks.refused(folder, *flags)
        assert f"failed: {reason}\nCheck the flags" in err, err
        say(f"Slurm refuses {' '.join(flags)}")
    print(tasks.launch(folder, "--slurm_time", str(minutes), *FLAGS).splitlines()[-2])
    held: list[tasks.Held] = []
    for number in range(1, ROUNDS + 1):
        held = tasks.hold_jobs(folder, 2)
        assert_gpus([item.task for item in held])
        for item in held:
            let_time_run_out(item, folder, number)
        for item in held:
            item.task.start_soon()
    wait(lambda: not queue(), "the queue is empty")
    for item in held:
        assert_went_on(item, folder)
    tasks.assert_as_undisturbed(folder, reference)


def let_time_run_out(item: tasks.Held, folder: Path, number: int) -> None:
    """Wait until the task is told that its time is up, and have its job save its progress."""
    name = item.task.name
    told = "Job has timed out."
    wait(lambda: item.task.log(folder).count(told) == number, f"task {name} has no time left")
    item.let_go()
    wait(lambda: tasks.has_ended(item.claim), f"the job of task {name} has stopped")


def assert_gpus(running: list[tasks.Task]) -> None:
    """Assert that each task has a GPU of its own, and the node that it asked for."""
    assert {task.gpu for task in running} == {str(number) for number in range(GPUS)}, running
    for task in running:
        shown = output("scontrol", "show", "job", task.name)
        assert f"Features={FEATURE}" in shown, shown
        assert f"gpu:{GPU}:1" in shown, shown
    say("each task has a GPU of its own")


def assert_went_on(item: tasks.Held, folder: Path) -> None:
    """Assert that the task was requeued each time, and that the job did not start over.

    On a busy machine the time may run out once more.
    """
    log = item.task.log(folder)
    left = [int(number) for number in re.findall(r"Requeued job \S+ \((\d+) remaining", log)]
    assert len(left) >= ROUNDS, log
    assert left == [REQUEUES - number for number in range(1, len(left) + 1)], log
    assert item.task.starts(folder) == len(left) + 1, log
    assert log.count("Job completed successfully") == 1, log
    *stopped, last = [claim.end.outcome for claim in all_claims(item.folder)]
    assert len(stopped) >= ROUNDS, stopped
    assert set(stopped) == {INTERRUPTED}, stopped
    assert last == DONE
    records = (item.folder / "results.jsonl").read_bytes()
    assert records.startswith(item.records)  # made again, they would have other times
    print(f"task {item.task.name} ran out of time {len(left)} times, {left[-1]} are left")
