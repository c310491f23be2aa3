"""The sweep that the scenarios share, and the Slurm tasks that its jobs run in."""

import os
import signal
import subprocess
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ndcl_domainbed.run_folder import Claim, all_claims
from tests.slurm.cluster import queue, wait
from tests.sweeping import sweeps
from tests.training import runs

STEPS, CHECKPOINT_FREQ = 90, 3

SWEEP = ["--n_trials", "1", "--steps", str(STEPS), "--checkpoint_freq", str(CHECKPOINT_FREQ),
         "--data_dir", "unused", "--jobs", "2"]  # fmt: skip
"""Flags of every sweep here: three jobs, whose names and seeds are the same each time."""

SLURM = ["--command_launcher", "slurm", "--slurm_partition", "main", "--slurm_mem", "100M",
         "--slurm_cpus", "1"]  # fmt: skip


def launch(folder: Path, *flags: str) -> str:
    """Launch the sweep and return what it printed."""
    process = sweeps.start("launch", folder, *SWEEP, *flags)
    out, err = process.communicate(timeout=1200)
    if process.returncode != 0:
        raise SystemExit(f"launch failed:\n{out}\n{err}")
    return out


def refused(folder: Path, *flags: str) -> str:
    """Launch a sweep that Slurm must refuse, and return what it wrote to standard error."""
    process = sweeps.start("launch", folder, *SWEEP, *SLURM, *flags)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2, err
    return err


def job_folders(folder: Path) -> list[Path]:
    """Return the folders of the jobs of a sweep."""
    return [path for path in sweeps.job_folders(folder) if path.name != "slurm"]


def has_ended(claim: Claim) -> bool:
    """Whether an attempt has written how it ended."""
    now = all_claims(claim.path.parent)[claim.number]
    return now.end is not None


@dataclass(frozen=True)
class Task:
    """A task of an array: its name in Slurm's queue, and the number of its GPU if it has one."""

    name: str
    gpu: str | None

    def log(self, folder: Path) -> str:
        """Return what submitit has written about the task of the sweep in ``folder``."""
        return (folder / "slurm" / self.name / f"{self.name}_0_log.out").read_text()

    def starts(self, folder: Path) -> int:
        """Return how often the task has started."""
        return self.log(folder).count("Starting with JobEnvironment")

    def start_soon(self) -> None:
        """Have the task start again in ten seconds, where Slurm lets it wait for two minutes.

        Started in the second of its end, it would be taken for the one that has ended.
        """
        waiting = f"{self.name} PENDING BeginTime"
        wait(lambda: waiting in queue(), f"task {self.name} is back in the queue")
        command = ["scontrol", "update", f"JobId={self.name}", "StartTime=now+10"]
        subprocess.run(command, check=True)


def task_of(claim: Claim) -> Task:
    """Return the task of a job that runs: its process has the environment of the task."""
    words = Path(f"/proc/{claim.owner.pid}/environ").read_text().split("\0")
    names = dict(word.partition("=")[::2] for word in words)
    name = f"{names['SLURM_ARRAY_JOB_ID']}_{names['SLURM_ARRAY_TASK_ID']}"
    return Task(name, names.get("CUDA_VISIBLE_DEVICES"))


@dataclass(frozen=True)
class Held:
    """A job whose process is stopped, its task, and the records that it has written so far."""

    claim: Claim
    task: Task
    records: bytes

    @property
    def folder(self) -> Path:
        """The folder of the job."""
        return self.claim.path.parent

    def let_go(self) -> None:
        """Let the process of the job run again.

        Slurm may have done so, and the job may have ended: a task that is told to leave gets
        SIGCONT as well, with all its processes.
        """
        with suppress(ProcessLookupError):
            os.kill(self.claim.owner.pid, signal.SIGCONT)


def hold_jobs(folder: Path, count: int, others: Collection[Path] = ()) -> list[Held]:
    """Stop jobs as soon as they have got on, so that no machine is too fast for a scenario.

    The folders ``others`` are of jobs that are left alone.
    """
    seen: dict[Path, bytes] = {}
    held: dict[Path, Held] = {}

    def look() -> bool:
        for claim in sweeps.running(folder) if folder.exists() else []:
            records = (claim.path.parent / "results.jsonl").read_bytes()
            before = seen.setdefault(claim.path, records)
            if records != before and not {claim.path, claim.path.parent} & {*held, *others}:
                held[claim.path] = hold(claim)
        return len(held) == count

    wait(look, f"{count} jobs run, and are held")
    return list(held.values())


def hold(claim: Claim) -> Held:
    """Stop the process of a job that runs."""
    os.kill(claim.owner.pid, signal.SIGSTOP)
    return Held(claim, task_of(claim), (claim.path.parent / "results.jsonl").read_bytes())


def assert_as_undisturbed(folder: Path, reference: Path) -> None:
    """Assert that every job is done once, with the records of a sweep that nothing disturbed."""
    folders = job_folders(folder)
    assert len(folders) == 3, folders
    for path in folders:
        sweeps.assert_done_once(path, STEPS, CHECKPOINT_FREQ)
        assert runs.lasting(path) == runs.lasting(reference / path.name), path
        ends = [claim.end and claim.end.outcome for claim in all_claims(path)]
        print(f"{path.name}: {' -> '.join(str(end) for end in ends)}")
