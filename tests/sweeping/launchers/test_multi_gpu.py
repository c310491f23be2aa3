from collections import Counter

import pytest
import torch

from ndcl_domainbed.errors import InputError
from ndcl_domainbed.scripts import sweep
from ndcl_domainbed.sweeping import checking, jobs
from ndcl_domainbed.sweeping.jobs import make_job
from ndcl_domainbed.sweeping.launchers import multi_gpu
from tests.sweeping import sweeps

JOBS = [make_job({"trial_seed": seed}, "out", 1) for seed in range(20)]


@pytest.fixture
def launched(monkeypatch):
    """What the launcher hands on: slots, threads and retries, on a machine of 16 cores."""
    calls = []
    monkeypatch.setattr(multi_gpu, "run_jobs", lambda jobs, *rest: calls.append(rest))
    monkeypatch.setattr(jobs, "cores", lambda: 16)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(checking, "check_data", lambda jobs: None)
    return calls


def have_gpus(monkeypatch, count, visible=None):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)


@pytest.mark.parametrize("visible", [None, "", "0,1"])
def test_without_a_gpu_it_is_an_error(monkeypatch, launched, visible):
    have_gpus(monkeypatch, 0, visible)
    with pytest.raises(InputError, match=r"no GPU is visible here.*local"):
        multi_gpu.check(JOBS, sweeps.options())
    assert launched == []


@pytest.mark.parametrize(
    ("visible", "names"),
    [(None, ["0", "1"]), ("3,5", ["3", "5"]), ("GPU-a, GPU-b,", ["GPU-a", "GPU-b"])],
)
def test_each_gpu_runs_one_job(monkeypatch, launched, visible, names):
    have_gpus(monkeypatch, 2, visible)
    multi_gpu.launch(JOBS, sweeps.options(retries=3))
    assert launched == [([{"CUDA_VISIBLE_DEVICES": name} for name in names], 8, 3)]


def test_more_jobs_on_a_gpu_are_spread(monkeypatch, launched):
    have_gpus(monkeypatch, 2)
    multi_gpu.launch(JOBS, sweeps.options(jobs=3, jobs_per_gpu=2))
    ((slots, threads, _),) = launched
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["0", "1", "0"]
    assert threads == 5


def test_at_least_one_job_on_a_gpu(monkeypatch, launched):
    have_gpus(monkeypatch, 1)
    with pytest.raises(InputError, match="--jobs_per_gpu"):
        multi_gpu.check(JOBS, sweeps.options(jobs_per_gpu=0))


@pytest.mark.usefixtures("traced")
def test_real_jobs_share_the_devices(tmp_path, monkeypatch):
    """Jobs in processes of their own, on the CPU: they are told which device they have."""
    have_gpus(monkeypatch, 2)
    flags = [
        "launch", "--datasets", "Debug28", "--algorithms", "ERM", "--single_test_envs",
        "--n_hparams", "1", "--n_trials", "1", "--steps", "2", "--skip_model_save",
        "--skip_confirmation", "--device", "cpu", "--command_launcher", "multi_gpu", "--data_dir",
        "data",
    ]  # fmt: skip
    hparams = ["--hparams", '{"batch_size": 2}']
    assert sweep.main([*flags, *hparams, "--output_dir", str(tmp_path)]) == 0
    folders = sweeps.job_folders(tmp_path)
    assert len(folders) == 3
    for folder in folders:
        sweeps.assert_done_once(folder, 2, 300)
    started, now, most = Counter(), Counter(), Counter()
    for event in sweeps.trace(tmp_path):
        started[event.device] += event.what == "start"
        now[event.device] += {"start": 1, "end": -1}.get(event.what, 0)
        most[event.device] = max(most[event.device], now[event.device])
    assert started.keys() == {"0", "1"}
    assert started.total() == 3
    assert max(most.values()) == 1
    assert now.total() == 0
