"""A real Ray on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from argparse import Namespace

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
    found = sweeps.wait_for(lambda: len(found := sweeps.running(tmp_path)) == 2 and found, sweep)
    cluster.stdin.write("\n")
    cluster.stdin.flush()
    assert cluster.stdout.readline().strip() == "lost"
    out, err = sweep.communicate(timeout=sweeps.LIMIT)
    assert sweep.returncode == 0, err
    assert "3 jobs: 3 done" in out
    for folder in sweeps.job_folders(tmp_path):
        sweeps.assert_done_once(folder, 100, 5)
    assert any(len(claims.all_claims(claim.path.parent)) > 1 for claim in found)


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
