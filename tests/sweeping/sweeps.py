"""Real sweeps in processes of their own, and what their folders must look like in the end."""

import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import NamedTuple

from ndcl_domainbed.run_folder import DONE, all_claims, latest_claim
from ndcl_domainbed.sweeping.flags import SweepParser

LIMIT = 300.0
"""Seconds after which a sweep counts as hanging: far more than any takes, on a busy machine too."""


STARTUP = Path(__file__).with_name("startup")
"""On the module path of the processes that are started; see the module in it."""


def tracing(output_dir):
    """Return environment variables that have a sweep's jobs noted in the file ``trace``."""
    paths = [str(STARTUP), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), "SWEEP_TRACE": str(output_dir / "trace")}


def options(**changes):
    """Return the options of a launch: the defaults, but for ``changes``."""
    return Namespace(**{**SweepParser().defaults, **changes})


class Event(NamedTuple):
    """What a job did: ``what`` is start, update or end."""

    job: str
    attempt: int
    device: str
    what: str


def trace(output_dir):
    """Return what the jobs of a sweep did, in order."""
    lines = [line.split() for line in (output_dir / "trace").read_text().splitlines()]
    return [Event(job, int(attempt), device, what) for job, attempt, device, what in lines]


def start(command, output_dir, *flags, within=(), **environment):
    """Start a sweep command over cheap jobs on Debug28, by the command ``within`` if there is one.

    ``environment`` holds further variables.
    """
    words = [
        *within,
        sys.executable, str(STARTUP / "launch.py"), command, "--datasets", "Debug28",
        "--algorithms", "ERM", "--single_test_envs", "--n_hparams", "1", "--hparams",
        '{"batch_size": 2}', "--skip_model_save", "--skip_confirmation",
        "--data_dir", str(output_dir), "--output_dir", str(output_dir), *flags,
    ]  # fmt: skip
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **tracing(output_dir), **environment},
    )  # fmt: skip


def job_folders(output_dir):
    return sorted(path for path in output_dir.iterdir() if path.is_dir())


def running(output_dir):
    """Return the claims of the jobs whose processes run and have written a record."""
    found = []
    for folder in job_folders(output_dir):
        claim = latest_claim(folder)
        records = folder / "results.jsonl"
        if claim and claim.owner and not claim.end and claim.owner.runs_here() and records.exists():
            found.append(claim)
    return found


def wait_for(condition, process):
    """Return the first true value of ``condition()``; fail if the process ends before."""

    def check():
        value = condition()
        assert value or process.poll() is None, process.communicate()
        return value

    return wait_until(check)


def wait_until(condition):
    """Return the first true value of ``condition()``."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError("it did not happen in time")


def parent(pid):
    """Return the process that started ``pid``."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children(pid):
    """Return the processes that ``pid`` has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def steps(folder):
    return [json.loads(line)["step"] for line in (folder / "results.jsonl").open()]


def assert_done_once(folder, n_steps, checkpoint_freq):
    """Assert that a job is done, that its attempts came one after the other, and its records.

    The sweep must have been traced.
    """
    assert (folder / "done").exists()
    attempts = all_claims(folder)
    done = [claim for claim in attempts if claim.end and claim.end.outcome == DONE]
    assert len(done) <= 1  # none if it was killed between its last step and its last word
    assert not done or done[0] == attempts[-1]
    updates = [event.attempt for event in trace(folder.parent)
               if event.job == folder.name and event.what == "update"]  # fmt: skip
    assert updates == sorted(updates)  # none makes a step once the next one has begun
    assert len(updates) == n_steps or (len(updates) > n_steps and len(set(updates)) > 1)
    expected = [*range(0, n_steps, checkpoint_freq)]
    expected += [n_steps - 1] * (expected[-1] < n_steps - 1)
    assert steps(folder) == expected
    assert not list(folder.glob(".*"))
