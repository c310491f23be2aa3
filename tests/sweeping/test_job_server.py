"""The process that starts jobs."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from multiprocessing.connection import Pipe, wait
from pathlib import Path

import pytest

from ndcl_domainbed.sweeping import claims, job_server
from ndcl_domainbed.sweeping.job_client import JobServer, ServerDied
from ndcl_domainbed.sweeping.jobs import make_job

WARM = """
import os, sys
from ndcl_domainbed.sweeping import job_server
job_server.warm_up()
print(len(os.listdir("/proc/self/task")))
import torch
print(torch.get_num_threads(), torch.cuda.is_initialized())
before = set(sys.modules)
from ndcl_domainbed.scripts import train
sys.stdout = open(os.devnull, "w")
train.main(["--dataset", "Debug28", "--algorithm", "NDCL", "--steps", "2", "--imbalance",
            sys.argv[2], "--hparams", '{"batch_size": 2}', "--output_dir", sys.argv[1]])
print(*sorted(set(sys.modules) - before), sep=",", file=sys.__stdout__)
"""


def job(folder, **changes):
    args = {
        "dataset": "Debug28", "algorithm": "ERM", "test_envs": [0], "data_dir": str(folder),
        "steps": 2, "hparams": '{"batch_size": 2}',
    }  # fmt: skip
    return make_job({**args, **changes}, str(folder), 2)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_it_has_imported_all_a_run_needs_and_has_no_threads(tmp_path):
    table = tmp_path / "table.csv"
    rows = [f"{t},{s},{k},3" for t in "012" for s in "012" if s != t for k in "01"]
    table.write_text("\n".join(["target,source,class,count", *rows]))
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "2"}
    answer = subprocess.run(
        [sys.executable, "-c", WARM, str(tmp_path / "out"), str(table)], env=environment,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    threads, torch_state, late = answer.stdout.splitlines()
    assert (threads, torch_state) == ("1", "2 False")
    heavy = ("torch", "torchvision", "numpy", "scipy", "PIL", "imbalance_splits")
    assert [name for name in late.split(",") if name.partition(".")[0] in heavy] == []


@pytest.fixture
def server():
    server = JobServer(threads=1)
    yield server
    server.stop()


def end_of(server):
    while (ended := server.ended(60)) is None:
        pass
    return ended


def test_statuses_tell_how_jobs_end(tmp_path, server):
    good, bad, taken = job(tmp_path), job(tmp_path, dataset="None"), job(tmp_path, test_envs=[1])
    assert claims.take(taken.folder, 0) is not None
    (tmp_path / "file").write_text("in the way")
    unwritable = make_job(good.train_args, str(tmp_path / "file"), 2)
    for key, each in enumerate((good, bad, taken, unwritable)):
        server.start(key, each, 0, {})
    assert dict(end_of(server) for _ in range(4)) == {
        0: 0,
        1: 1,
        2: job_server.STATUS_NOT_MINE,
        3: job_server.STATUS_CANNOT_WRITE,
    }
    assert "error: unknown dataset 'None'" in (bad.folder / "err.txt").read_text()


def test_a_server_that_died_is_noticed(tmp_path, server):
    server._process.kill()
    with pytest.raises(ServerDied):
        while True:
            server.ended(10)
    with pytest.raises(ServerDied):
        server.start(1, job(tmp_path), 0, {})
    server.stop()
    assert not server.runs


def test_a_job_that_ends_as_the_launcher_dies_does_not_leave_the_others_alone(
    tmp_path, monkeypatch
):
    """The server sees both at once, and the end of the job first."""
    ours, theirs = Pipe()
    stopped = []

    def both(waiting):
        launcher, *ends = waiting
        if not ends:
            return [launcher]
        ours.close()
        return [*wait(ends), launcher]

    monkeypatch.setattr(job_server, "warm_up", lambda: None)
    monkeypatch.setattr(job_server, "wait", both)
    monkeypatch.setattr(job_server, "_run", lambda *arguments: None)
    monkeypatch.setattr(job_server, "stop", stopped.append)
    ours.send(("key", job(tmp_path), 0, {}))
    job_server.serve(theirs)
    assert stopped == [[]]


def _run(sending, environment, folder):
    """Be a job that only tells its environment."""
    job_server.worker.run = lambda job, number: sending.send(dict(os.environ)) or claims.DONE
    ours, theirs = Pipe()
    ours.close()
    job_server._run(theirs, job(folder), 0, environment)


def test_a_job_gets_the_environment_of_its_slot(tmp_path):
    receiving, sending = Pipe(duplex=False)
    fork = multiprocessing.get_context("fork")
    process = fork.Process(target=_run, args=(sending, {"CUDA_VISIBLE_DEVICES": "3"}, tmp_path))
    process.start()
    assert receiving.recv()["CUDA_VISIBLE_DEVICES"] == "3"
    process.join()
    assert process.exitcode == 0
