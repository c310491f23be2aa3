"""A real Ray on this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from argparse import Namespace
from types import SimpleNamespace

import pytest

from ndcl_domainbed.errors import InputError
from ndcl_domainbed.sweeping import claims
from ndcl_domainbed.sweeping.launchers import ray as launcher
from tests.sweeping import sweeps

pytest.importorskip("ray")

FLAGS = ["--steps", "100", "--checkpoint_freq", "5", "--n_trials", "1"]

CLUSTER = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
node = cluster.add_node(num_cpus=2)
print(cluster.address, flush=True)
sys.stdin.readline()
cluster.add_node(num_cpus=2)
cluster.remove_node(node, allow_graceful=False)
print("lost", flush=True)
sys.stdin.readline()
cluster.shutdown()
"""


@pytest.fixture
def cluster():
    """A cluster of a head without room for jobs and one machine that can be lost."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    yield process
    process.communicate("\n\n", timeout=sweeps.LIMIT)


def test_a_job_survives_the_loss_of_its_machine(tmp_path, cluster):
    address = cluster.stdout.readline().strip()
    flags = [*FLAGS, "--command_launcher", "ray", "--ray_address", address]
    sweep = sweeps.start("launch", tmp_path, *flags)
    found = sweeps.wait_for(lambda: sweeps.running(tmp_path), sweep)
    for claim in found:
        os.kill(claim.owner.pid, signal.SIGSTOP)  # or it might end before its machine is lost
    cluster.stdin.write("\n")
    cluster.stdin.flush()
    assert cluster.stdout.readline().strip() == "lost"
    for claim in found:
        os.kill(claim.owner.pid, signal.SIGKILL)
    out, err = sweep.communicate(timeout=sweeps.LIMIT)
    assert sweep.returncode == 0, err
    assert "3 jobs: 3 done" in out
    for folder in sweeps.job_folders(tmp_path):
        sweeps.assert_done_once(folder, 100, 5)
    assert all(len(claims.all_claims(claim.path.parent)) > 1 for claim in found)


def test_a_job_that_is_killed_on_a_ray_of_this_machine_goes_on(tmp_path):
    flags = [*FLAGS, "--command_launcher", "ray", "--ray_address", "local", "--retries", "1"]
    sweep = sweeps.start("launch", tmp_path, *flags)
    victim = sweeps.wait_for(lambda: sweeps.running(tmp_path), sweep)[0]
    os.kill(victim.owner.pid, signal.SIGKILL)
    out, err = sweep.communicate(timeout=sweeps.LIMIT)
    assert sweep.returncode == 0, err
    assert "3 jobs: 3 done" in out
    for folder in sweeps.job_folders(tmp_path):
        sweeps.assert_done_once(folder, 100, 5)
    assert len(claims.all_claims(victim.path.parent)) == 2


def test_without_ray_it_is_an_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"ndcl-domainbed\[ray\]"):
        launcher.launch([], Namespace(jobs=None, retries=1))


@pytest.mark.parametrize(
    ("address", "message"),
    [("127.0.0.1:1", r"no Ray cluster answers at 127\.0\.0\.1:1"), ("here", "HOST:PORT")],
)
def test_a_cluster_that_does_not_answer_is_an_error(address, message):
    with pytest.raises(InputError, match=message):
        launcher.launch([], Namespace(jobs=None, retries=1, ray_address=address))


def test_a_cluster_that_accepts_and_says_nothing_is_an_error(monkeypatch):
    monkeypatch.setattr(launcher, "ANSWER", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(InputError, match=f"no Ray cluster answers at {address}: timed out"):
            launcher.connect(address)


@pytest.mark.parametrize("address", ["auto", "local", None])
@pytest.mark.parametrize(
    "error",
    [TimeoutError("Timed out\nafter 30 s"), Exception("No node info found"), ConnectionError()],
)
def test_whatever_ray_raises_when_it_connects_is_an_error(monkeypatch, error, address):
    def init(*args, **flags):
        raise error

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init))
    reason = " ".join(str(error).split()) or "ConnectionError"
    with pytest.raises(InputError, match=f"^no Ray cluster .*: {reason}$"):
        launcher.connect(address)
