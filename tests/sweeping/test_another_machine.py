"""Launchers that cannot see each other's processes, as on two machines that share a folder.

One of them has host name, process numbers and list of locks of its own (Linux namespaces).
"""

import os
import platform
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

from ndcl_domainbed.locks import locked
from ndcl_domainbed.run_folder import all_claims
from ndcl_domainbed.sweeping import claims
from ndcl_domainbed.sweeping.jobs import make_job
from tests.sweeping import sweeps
from tests.sweeping.test_claims import age

NAME = "elsewhere"
ANOTHER_MACHINE = (
    "unshare", "--pid", "--uts", "--mount-proc", "--fork", "--kill-child",
    "sh", "-c", f'hostname {NAME} && exec "$@"', "sh",
)  # fmt: skip

DELETE = """
import sys
from ndcl_domainbed.sweeping import deleting
from ndcl_domainbed.sweeping.jobs import make_job
print(deleting.delete_all([make_job({}, sys.argv[1], 10)]))
"""


@pytest.fixture
def another_machine():
    """The words that have a command run as on another machine."""
    try:
        outcome = subprocess.run([*ANOTHER_MACHINE, "true"], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if outcome.returncode:
        pytest.skip(f"no namespaces can be made here: {outcome.stderr.strip()}")
    return ANOTHER_MACHINE


def touched(claim):
    return claim.path.stat().st_mtime_ns


def hosts(folder):
    return [claim.owner and claim.owner.host for claim in all_claims(folder)]


def started_there(output_dir):
    """Return the folders of the jobs that the other machine has begun."""
    return [path for path in sweeps.job_folders(output_dir)
            if hosts(path) == [NAME] and (path / "results.jsonl").exists()]  # fmt: skip


def send(number, *pids):
    for pid in pids:
        os.kill(pid, number)


def test_a_job_of_a_machine_that_is_lost_is_taken_over_by_another(tmp_path, another_machine):
    flags = ["launch", tmp_path, "--steps", "100", "--checkpoint_freq", "20", "--n_trials", "1"]
    flags += ["--jobs", "2"]
    with ExitStack() as at_the_end:
        there = sweeps.start(*flags, within=another_machine, SWEEP_WATCHED="0.5")
        at_the_end.callback(there.kill)
        sweeps.wait_for(lambda: len(started_there(tmp_path)) == 2, there)
        (launcher,) = sweeps.children(there.pid)
        servers = sweeps.children(launcher)  # the jobs' parent, and multiprocessing's tracker
        jobs_there = [job for server in servers for job in sweeps.children(server)]
        send(signal.SIGSTOP, *jobs_there)  # so the third is left to this machine

        here = sweeps.start(*flags, SWEEP_HEARTBEAT="0.05")
        at_the_end.callback(here.kill)
        (held,) = sweeps.wait_for(lambda: sweeps.running(tmp_path), here)
        age(held.path, claims.TIMEOUT + 60)
        old = touched(held)
        sweeps.wait_for(lambda: touched(held) != old, here)  # its owner lives
        assert not claims.is_stale(held)

        all_here = [here.pid, *sweeps.children(here.pid), held.owner.pid]
        send(signal.SIGSTOP, *all_here)  # they stay as they are, and alive
        send(signal.SIGCONT, *jobs_there)
        sweeps.wait_for(lambda: len(list(tmp_path.glob("*/done"))) == 2, there)
        assert hosts(held.path.parent) == [socket.gethostname()]

        send(signal.SIGKILL, *all_here)  # none has a last word
        here.communicate()
        age(held.path, claims.TIMEOUT + 60)
        out, err = there.communicate(timeout=sweeps.LIMIT)
    assert there.returncode == 0, err
    assert "3 jobs: 3 done, 0 running, 0 failed, 0 waiting." in out
    for folder in sweeps.job_folders(tmp_path):
        sweeps.assert_done_once(folder, 100, 20)
        assert hosts(folder) == [socket.gethostname()] * (folder == held.path.parent) + [NAME]


def test_a_run_by_hand_is_not_deleted_by_another_machine(tmp_path, another_machine):
    """The run has no claim, and its lock is not in the other machine's list."""
    folder = make_job({}, str(tmp_path), 10).folder
    folder.mkdir()
    command = [*another_machine, sys.executable, "-c", DELETE, str(tmp_path)]
    with locked(folder / ".lock"):
        out = subprocess.check_output(command, text=True, timeout=sweeps.LIMIT)
        assert (folder / ".lock").exists()
    left = f"Left alone: {folder} is in use by process {os.getpid()} on {platform.node()}"
    assert out.splitlines() == [f"{left}.", "0"]
    assert subprocess.check_output(command, text=True, timeout=sweeps.LIMIT) == "1\n"
    assert not folder.exists()
