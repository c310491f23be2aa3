"""Real sweeps in processes of their own, and what their folders must look like in the end."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from ndcl_domainbed.sweeping import claims

LIMIT = 300.0
"""Seconds after which a sweep counts as hanging: far more than any takes, on a busy machine too."""


def start(command, output_dir, *flags):
    """Start a sweep command over cheap jobs on Debug28."""
    words = [
        sys.executable, "-m", "ndcl_domainbed.scripts.sweep", command, "--datasets", "Debug28",
        "--algorithms", "ERM", "--single_test_envs", "--n_hparams", "1", "--hparams",
        '{"batch_size": 2}', "--skip_model_save", "--skip_confirmation",
        "--data_dir", str(output_dir), "--output_dir", str(output_dir), *flags,
    ]  # fmt: skip
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def job_folders(output_dir):
    return sorted(path for path in output_dir.iterdir() if path.is_dir())


def running(output_dir):
    """Return the claims of the jobs whose processes run and have written a record."""
    found = []
    for folder in job_folders(output_dir):
        claim = claims.latest(folder)
        records = folder / "results.jsonl"
        if claim and claim.owner and not claim.end and claim.owner.runs_here() and records.exists():
            found.append(claim)
    return found


def wait_for(condition, process):
    """Return the first true value of ``condition()``; fail if the process ends before."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        assert process.poll() is None, process.communicate()
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
    """Assert that a job is done, that its attempts came one after the other, and its records."""
    assert (folder / "done").exists()
    attempts = claims.all_claims(folder)
    done = [claim for claim in attempts if claim.end and claim.end.outcome == claims.DONE]
    assert len(done) <= 1  # none if it was killed between its last step and its last word
    assert not done or done[0] == attempts[-1]
    for earlier, later in itertools.pairwise(attempts):
        assert earlier.end is None or earlier.end.at <= later.since or earlier.end.crashed
    expected = [*range(0, n_steps, checkpoint_freq)]
    expected += [n_steps - 1] * (expected[-1] < n_steps - 1)
    assert steps(folder) == expected
    assert not list(folder.glob(".*"))
