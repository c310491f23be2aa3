"""What can happen to the loader processes and to the images that they read."""

import functools
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import Subset, TensorDataset

from ndcl_domainbed.training.arguments import TrainArguments
from ndcl_domainbed.training.preparation import loader_workers
from tests.image_folders import write_images
from tests.training.noisy_images import NoisyImages
from tests.training.processes import Command
from tests.training.runs import assert_same_run
from tests.training.stops import around_update

FLAGS = ("--steps", 15, "--checkpoint_freq", 3, "--num_workers", 1,
         "--hparams", '{"backbone": "small_cnn", "batch_size": 4}')  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_images(
        tmp_path_factory.mktemp("images") / "shapes", ["a", "b", "c"], ["x", "y"], 6
    )


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    """The folder of a run that nothing happened to."""
    run = Command(
        tmp_path_factory.mktemp("undisturbed") / "run", "train", "--dataset", data, *FLAGS
    )
    assert run.status() == 0, run.said
    return run.output_dir


def _cut_image_at(output_dir, path):
    around_update(5, before=lambda: os.truncate(path, 60))


def test_an_image_that_breaks_during_a_run(data, alone, tmp_path):
    victim = data / "b" / "y" / "003.png"
    whole = victim.read_bytes()
    run = Command(tmp_path / "run", "train", "--dataset", data, *FLAGS,
                  before=functools.partial(_cut_image_at, path=victim))  # fmt: skip
    assert run.status() == 2
    error = run.said[run.said.index("error: ") :]
    assert error.startswith(f"error: cannot read the image {victim} (")
    assert len(error.splitlines()) <= 2
    victim.write_bytes(whole)
    again = Command(tmp_path / "run", "train", "--dataset", data, *FLAGS)
    assert again.status() == 0, again.said
    assert "Resuming after step" in again.said
    assert_same_run(tmp_path / "run", alone)


def _kill_loader(output_dir):
    def kill():
        own = os.getpid()
        (loader,) = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        os.kill(int(loader), signal.SIGKILL)

    around_update(8, before=kill)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_loader_process_that_is_killed(data, alone, tmp_path):
    run = Command(tmp_path / "run", "train", "--dataset", data, *FLAGS, before=_kill_loader)
    assert run.status() == 1, run.said
    error = run.said[run.said.index("error: ") :].splitlines()
    assert error[0].startswith("error: a loader process died after step ")
    assert any(
        said in error[0] for said in ("killed by signal", "exited unexpectedly", "does not answer")
    )
    assert error[1].startswith("Start again to resume; fewer of them (--num_workers)")
    assert len(error) == 2
    again = Command(tmp_path / "run", "train", "--dataset", data, *FLAGS)
    assert again.status() == 0, again.said
    assert_same_run(tmp_path / "run", alone)


@pytest.mark.parametrize(
    ("cores", "threads", "device", "in_memory", "expected"),
    [
        (16, 16, "cpu", False, 8),  # no more than the dataset wants
        (4, 4, "cpu", False, 4),
        (4, 1, "cpu", False, 1),  # one of four jobs that share the cores
        (4, 1, "cuda", False, 4),  # the CPU has nothing else to do
        (1, 1, "cuda", False, 0),
        (16, 16, "cpu", True, 0),
    ],
)
def test_as_many_loader_processes_as_the_cores_can_feed(
    monkeypatch, cores, threads, device, in_memory, expected
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    images = TensorDataset(torch.zeros(6, 3), torch.zeros(6)) if in_memory else NoisyImages(6)
    dataset = SimpleNamespace(train_sets=[Subset(images, range(6))])
    found = loader_workers(TrainArguments(), dataset, 8, torch.device(device))
    assert found == expected
    given = TrainArguments(num_workers=3)
    assert loader_workers(given, dataset, 8, torch.device(device)) == 3
