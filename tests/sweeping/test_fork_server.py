"""The processes that jobs run in."""

import dataclasses
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from multiprocessing import forkserver
from pathlib import Path

import pytest

from ndcl_domainbed.errors import InputError, RunFailure
from ndcl_domainbed.processes import process
from ndcl_domainbed.run_folder import DONE, FAILED, latest_claim
from ndcl_domainbed.sweeping import claims, fork_server, worker
from ndcl_domainbed.sweeping.jobs import make_job
from tests.sweeping import late_imports


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_the_server_has_imported_all_a_run_needs_and_has_no_threads(tmp_path):
    table = tmp_path / "table.csv"
    rows = [f"{t},{s},{k},3" for t in "012" for s in "012" if s != t for k in "01"]
    table.write_text("\n".join(["target,source,class,count", *rows]))
    flags = ["--dataset", "Debug28", "--algorithm", "NDCL", "--steps", "2", "--imbalance",
             str(table), "--hparams", '{"batch_size": 2}', "--output_dir",
             str(tmp_path / "out")]  # fmt: skip
    job = fork_server.start(late_imports.train, tmp_path / "found", flags, threads=2)
    server = forkserver._forkserver._forkserver_pid
    assert len(list(Path(f"/proc/{server}/task").iterdir())) == 1
    job.join()
    threads, is_initialized, late = json.loads((tmp_path / "found").read_text())
    assert (threads, is_initialized) == (2, False)
    heavy = ("torch", "torchvision", "numpy", "scipy", "PIL", "imbalance_splits")
    assert [name for name in late if name.partition(".")[0] in heavy] == []
    assert (tmp_path / "out" / "done").exists()


def _describe(path):
    import torch

    path.write_text(
        json.dumps({
            "threads": torch.get_num_threads(), "environment": dict(os.environ),
            "folder": str(Path.cwd()), "session": os.getsid(0), "modules": sorted(sys.modules),
            "signals": [signal.getsignal(n) == signal.SIG_DFL for n in (2, 15)],
        })
    )  # fmt: skip


def test_a_job_gets_environment_threads_and_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for threads, device in ((2, "3"), (1, "4")):
        monkeypatch.setenv("SET_LATE", device)
        slot = {"CUDA_VISIBLE_DEVICES": device}
        fork_server.start(_describe, tmp_path / "a", threads=threads, environment=slot).join()
        told = json.loads((tmp_path / "a").read_text())
        assert told["threads"] == threads
        assert told["environment"]["OMP_NUM_THREADS"] == str(threads)
        assert told["environment"]["CUDA_VISIBLE_DEVICES"] == told["environment"]["SET_LATE"]
        assert (told["folder"], told["signals"]) == (str(tmp_path), [True, True])
        assert told["session"] != os.getsid(0)
        assert "ndcl_domainbed.sweeping.preloading" in told["modules"]
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def job(folder, **changes):
    args = {
        "dataset": "Debug28", "algorithm": "ERM", "test_envs": [0], "data_dir": str(folder),
        "steps": 2, "hparams": '{"batch_size": 2}',
    }  # fmt: skip
    return make_job({**args, **changes}, str(folder), 2)


def test_statuses_tell_how_jobs_end(tmp_path):
    good, bad, taken = job(tmp_path), job(tmp_path, dataset="None"), job(tmp_path, test_envs=[1])
    assert claims.take(taken.folder, 0) is not None
    (tmp_path / "file").write_text("in the way")
    unwritable = make_job(good.train_args, str(tmp_path / "file"), 2)
    started = [
        fork_server.start(worker.run_and_exit, each, 0, threads=1)
        for each in (good, bad, taken, unwritable)
    ]
    for each in started:
        each.join()
    expected = [0, 1, worker.STATUS_NOT_MINE, worker.STATUS_CANNOT_WRITE]
    assert [each.exitcode for each in started] == expected
    assert "error: unknown dataset 'None'" in (bad.folder / "err.txt").read_text()
    ends = [latest_claim(each.folder).end.outcome for each in (good, bad)]
    assert ends == [DONE, FAILED]


CRASH = """
from ndcl_domainbed.backend import ERM
class Crash(ERM):
    def update(self, minibatches, unlabeled=None):
        raise ValueError("on two\\nlines")
"""


def test_the_traceback_of_a_crash_is_written_once(tmp_path):
    (tmp_path / "crash.py").write_text(CRASH)
    crashing = dataclasses.replace(
        job(tmp_path, algorithm="Crash"), own_code=[str(tmp_path / "crash.py")]
    )
    fork_server.start(worker.run_and_exit, crashing, 0, threads=1).join()
    written = (crashing.folder / "err.txt").read_text()
    assert written.count("Traceback") == 1
    assert written.endswith("ValueError: on two\nlines\n")
    assert latest_claim(crashing.folder).end.reason == "ValueError: on two\nlines"


def test_a_server_that_died_is_replaced(tmp_path):
    fork_server.start(_describe, tmp_path / "a", threads=1).join()
    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            fork_server.start(_describe, tmp_path / "b", threads=1).join()
            break
        except (OSError, EOFError):  # it has not been noticed yet
            continue
    assert (tmp_path / "b").exists()


def _start_one_and_wait(sending):
    started = fork_server.start(_wait, sending, threads=1)
    sending.send(started.pid)
    _wait()


def _wait(sending=None):
    multiprocessing.Event().wait()


def test_a_job_ends_when_its_launcher_is_killed():
    fork = multiprocessing.get_context("fork")
    receiving, sending = fork.Pipe(duplex=False)
    launcher = fork_server.start(_start_one_and_wait, sending, threads=1)
    sending.close()
    orphan = process(receiving.recv())
    assert orphan.runs_here()
    launcher.kill()
    launcher.join()
    with pytest.raises(EOFError):  # the other end is closed when the orphan ends
        receiving.recv()


def _fail(kind, text):
    raise kind(text)


def test_a_call_raises_what_the_function_raised(tmp_path):
    fork_server.call(_describe, tmp_path / "a", threads=1)
    assert (tmp_path / "a").exists()
    with pytest.raises(InputError, match="no such folder"):
        fork_server.call(_fail, InputError, "no such folder", threads=1)
    with pytest.raises(RunFailure, match="broke down; see its message above"):
        fork_server.call(_fail, ValueError, "odd", threads=1)


def _write_start_method(path):
    Path(path).write_text(multiprocessing.get_start_method())


def test_a_job_starts_its_loader_processes_as_a_plain_run_does(tmp_path):
    fork_server.call(_write_start_method, tmp_path / "method", threads=1)
    plain = [sys.executable, "-c", "import multiprocessing as m; print(m.get_start_method())"]
    expected = subprocess.run(plain, capture_output=True, text=True, check=True).stdout.strip()
    assert (tmp_path / "method").read_text() == expected
