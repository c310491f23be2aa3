"""A real Ray on this machine."""

import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from ndcl_domainbed.errors import InputError, RunFailure
from ndcl_domainbed.run_folder import all_claims
from ndcl_domainbed.sweeping import view
from ndcl_domainbed.sweeping.jobs import make_job
from ndcl_domainbed.sweeping.launchers import ray as launcher
from tests.sweeping import sweeps

exceptions = pytest.importorskip("ray.exceptions")

FLAGS = ["--steps", "100", "--checkpoint_freq", "5", "--n_trials", "1"]

CLUSTER = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(
    initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
)
node = cluster.add_node(num_cpus=2)
print(cluster.address, flush=True)
sys.stdin.readline()
cluster.add_node(num_cpus=2)
cluster.remove_node(node, allow_graceful=False)
print("lost", flush=True)
sys.stdin.readline()
cluster.shutdown()
"""

LOST = r"^the Ray cluster is lost: {}\nLaunch again once there is one: the jobs resume from"


@pytest.fixture
def cluster():
    """A cluster of a head without room for jobs and one machine that can be lost."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    yield process
    process.communicate("\n\n", timeout=sweeps.LIMIT)


@pytest.mark.usefixtures("traced")
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
    assert all(len(all_claims(claim.path.parent)) > 1 for claim in found)


def lost_ray(**calls):
    """Return what stands for the module ray, whose ``calls`` are not those of a whole cluster."""
    whole = {
        "cluster_resources": lambda: {"CPU": 2.0},
        "wait": lambda handed, timeout: ([], handed),
    }
    return SimpleNamespace(exceptions=exceptions, **{**whole, **calls})


def raising(error):
    def call(*args, **flags):
        raise error

    return call


def hand_out(ray, remote=lambda *args: "reference"):
    args = {"dataset": "Debug28", "algorithm": "ERM", "test_envs": [0], "hparams_seed": 0}
    jobs = [make_job({**args, "trial_seed": 0}, "out", 1)]
    options = sweeps.options(jobs=1, retries=0)
    launcher.hand_out(ray, SimpleNamespace(remote=remote), jobs, options, view.View(jobs))


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("Failed to reconnect\nwithin 30 s"),
        RuntimeError("the client is gone"),
        exceptions.RaySystemError("no raylet"),
    ],
)
def test_whatever_ray_raises_when_its_cluster_is_lost_is_an_error(error):
    reason = LOST.format(" ".join(str(error).split()))
    for name in ("cluster_resources", "wait"):
        with pytest.raises(RunFailure, match=reason):
            hand_out(lost_ray(**{name: raising(error)}))
    with pytest.raises(RunFailure, match=reason):
        hand_out(lost_ray(), raising(error))


def test_a_job_cannot_be_taken_back_from_a_cluster_that_is_lost(capsys):
    def wait(handed, timeout):
        return handed, []

    with pytest.raises(RunFailure, match=LOST.format("gone")):
        hand_out(lost_ray(wait=wait, get=raising(ConnectionError("gone"))))
    hand_out(lost_ray(wait=wait, get=raising(exceptions.WorkerCrashedError())))
    assert capsys.readouterr().out.startswith("Ray gave up ERM on Debug28")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"ray_cpus": 0}, "--ray_cpus must be at least 1; got 0"),
        ({"ray_gpus": -0.5}, "--ray_gpus is a share of a GPU or a whole number"),
        ({"ray_gpus": 1.5}, "--ray_gpus is a share of a GPU or a whole number"),
        ({"ray_gpus": float("inf")}, "--ray_gpus is a share of a GPU or a whole number"),
        ({"ray_cpus": 3}, "--ray_cpus 3 is more than the 2 that this machine has"),
        ({"ray_gpus": 0.5}, r"--ray_gpus 0\.5 is more than the 0 that this machine has"),
    ],
)
def test_what_no_job_can_be_given_is_an_error(monkeypatch, flags, message):
    """It would wait for ever."""
    monkeypatch.setattr(launcher, "connect", lambda address: lost_ray())
    options = sweeps.options(**{"ray_address": None, **flags})
    with pytest.raises(InputError, match=message):
        launcher.check([], options)
        launcher.launch([], options)


def test_without_ray_it_is_an_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"ndcl-domainbed\[ray\]"):
        launcher.check([], sweeps.options())


@pytest.mark.parametrize(
    ("address", "message"),
    [("127.0.0.1:1", r"no Ray cluster answers at 127\.0\.0\.1:1"), ("here", "HOST:PORT")],
)
def test_a_cluster_that_does_not_answer_is_an_error(address, message):
    with pytest.raises(InputError, match=message):
        launcher.check([], sweeps.options(ray_address=address))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (None, r"^Ray cannot be started here: {}\nLook at the end of .*gcs_server\.out"),
        ("auto", r"^no Ray cluster can be used at auto: {}\nCheck `ray status`"),
    ],
)
@pytest.mark.parametrize(
    "error",
    [TimeoutError("Timed out\nafter 30 s"), Exception("No node info found"), ConnectionError()],
)
def test_whatever_ray_raises_when_it_connects_is_an_error(monkeypatch, error, address, message):
    def init(*args, **flags):
        raise error

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init))
    reason = " ".join(str(error).split()) or "ConnectionError"
    with pytest.raises(InputError, match=message.format(reason)):
        launcher.connect(address)
