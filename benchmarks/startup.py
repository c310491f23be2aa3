"""How long it takes to start a job: in a sweep, and as a command of its own.

    python -m benchmarks.startup [--runs 10] [--dataset Debug28] [--data_dir DIR]

Measured is the time from a job's start to its first record, with runs of a single step: the start
is the moment when the job before it ended, for the jobs of a sweep with one job at a time, and the
moment when the command was given, for the command. In between lie the start-up and the job's own
work (its data, its model, one step, one evaluation). The own work alone is measured by calling
``train`` again and again in one process. With DOMAINBED_HOME set, DomainBed's own command is timed
as well. Every figure is the median over the runs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ndcl_domainbed.run_folder import latest_claim
from ndcl_domainbed.sweeping.grid import Grid, expand
from ndcl_domainbed.sweeping.jobs import Job
from ndcl_domainbed.sweeping.running import run_jobs


def jobs_in(folder: Path, options: argparse.Namespace) -> list[Job]:
    """Return jobs of one step."""
    grid = Grid(
        datasets=[options.dataset], algorithms=["ERM"], data_dir=options.data_dir, n_hparams=1,
        n_trials=options.runs + 1, single_test_envs=True,
        run_args={"steps": 1, "hparams": '{"batch_size": 2}', "skip_model_save": True},
    )  # fmt: skip
    return [job for job in expand([grid], str(folder)) if job.train_args["test_envs"] == [0]]


def first_record(folder: Path) -> float:
    """Return when a run of one step wrote its record."""
    return (folder / "results.jsonl").stat().st_mtime


def in_a_sweep(folder: Path, options: argparse.Namespace) -> list[float]:
    """Return the seconds from each job's end to the next one's first record."""
    jobs = jobs_in(folder, options)
    run_jobs(jobs, [{}], threads=1, retries=0)
    ends = [claim.end.at for job in jobs if (claim := latest_claim(job.folder)) and claim.end]
    return [first_record(job.folder) - end for job, end in zip(jobs[1:], ends, strict=False)]


def by_commands(folder: Path, options: argparse.Namespace) -> list[float]:
    """Return the seconds from each command to its first record."""
    return [_command(job.command(), job.folder) for job in jobs_in(folder, options)[1:]]


def by_domainbed(folder: Path, options: argparse.Namespace) -> list[float]:
    """Return the same for DomainBed's command."""
    seconds = []
    for job in jobs_in(folder, options)[1:]:
        command = job.command()
        command[command.index("ndcl_domainbed.scripts.train")] = "domainbed.scripts.train"
        seconds.append(_command(command, job.folder, cwd=os.environ["DOMAINBED_HOME"]))
    return seconds


def _command(command: list[str], folder: Path, cwd: str | None = None) -> float:
    started = time.time()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=cwd)
    return first_record(folder) - started


OWN_WORK = """
import sys, time, pickle, contextlib, io
from ndcl_domainbed.training.run import train
for arguments in pickle.load(sys.stdin.buffer):
    started = time.time()
    with contextlib.redirect_stdout(io.StringIO()):
        train(arguments)
    print(started, flush=True)
"""


def own_work(folder: Path, options: argparse.Namespace) -> list[float]:
    """Return the seconds that the jobs take in a process that has run one already."""
    import pickle

    jobs = jobs_in(folder, options)
    content = pickle.dumps([job.arguments() for job in jobs])
    answer = subprocess.run(
        [sys.executable, "-c", OWN_WORK], input=content, stdout=subprocess.PIPE, check=True
    )
    started = [float(line) for line in answer.stdout.split()]
    return [first_record(job.folder) - at for job, at in zip(jobs, started, strict=True)][1:]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--dataset", default="Debug28")
    parser.add_argument("--data_dir", default="data")
    options = parser.parse_args()
    options.data_dir = str(Path(options.data_dir).resolve())
    os.environ["OMP_NUM_THREADS"] = "1"
    ways: dict[str, Callable[[Path, argparse.Namespace], list[float]]] = {
        "own work of the job": own_work,
        "in a sweep": in_a_sweep,
        "python -m ndcl_domainbed.scripts.train": by_commands,
    }
    if os.environ.get("DOMAINBED_HOME"):
        ways["python -m domainbed.scripts.train"] = by_domainbed
    own = 0.0
    rows = []
    for name, measure in ways.items():
        with tempfile.TemporaryDirectory() as folder:
            seconds = statistics.median(measure(Path(folder), options))
        own = own or seconds
        rows.append(f"{name:<40} {seconds:7.3f} s   beyond its own work {seconds - own:7.3f} s")
    print(f"{options.dataset}, ERM, median of {options.runs} runs, {os.cpu_count()} cores")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
