"""submitit with its local executor, which runs real tasks; and what is handed to sbatch.

A whole Slurm is in tests/slurm.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import stat
import sys

import pytest

from ndcl_domainbed.errors import InputError
from ndcl_domainbed.run_folder import DONE, INTERRUPTED, WAITING, all_claims
from ndcl_domainbed.sweeping import slurm_queue, states
from ndcl_domainbed.sweeping.grid import Grid, expand
from ndcl_domainbed.sweeping.launchers import slurm
from tests.sweeping import sweeps

submitit = pytest.importorskip("submitit")


def grid_jobs(folder, steps=5):
    grid = Grid(
        datasets=["Debug28"], algorithms=["ERM"], data_dir=str(folder), n_trials=1, n_hparams=1,
        single_test_envs=True, run_args={
            "steps": steps, "hparams": '{"batch_size": 2}', "checkpoint_freq": 5,
            "skip_model_save": True,
        },
    )  # fmt: skip
    return expand([grid], str(folder))


@pytest.mark.parametrize("each", [1, 3])
def test_a_task_that_is_preempted_resumes_in_a_new_one(tmp_path, each):
    jobs = grid_jobs(tmp_path, steps=100)[:each]
    executor = submitit.LocalExecutor(tmp_path / "slurm" / "%j", max_num_timeout=3)
    executor.update_parameters(timeout_min=5)
    kept = []
    real = executor.submit
    executor.submit = lambda task: kept.append(real(task)) or kept[-1]
    options = sweeps.options(slurm_jobs_per_task=3, retries=0)
    submitted = list(slurm.submit(jobs, options, executor))
    (task,) = kept
    assert submitted == [{task.job_id: jobs}]

    first = sweeps.wait_for(lambda: sweeps.running(tmp_path), task._process)[0]
    before = sweeps.steps(first.path.parent)
    alone = sweeps.parent(first.owner.pid) == task._process.pid  # submitit's own process
    server = first.owner.pid if alone else sweeps.parent(first.owner.pid)
    assert alone == (each == 1)
    os.kill(server if alone else sweeps.parent(server), signal.SIGUSR2)  # as Slurm does before
    task.result()
    for job in jobs:
        sweeps.assert_done_once(job.folder, 100, 5)
    ends = [claim.end.outcome for claim in all_claims(first.path.parent)]
    assert ends == [INTERRUPTED, DONE]
    out = (first.path.parent / "out.txt").read_text()
    assert int(re.search(r"Resuming after step (\d+)", out)[1]) >= before[-1]


@pytest.fixture
def fake_slurm(tmp_path, monkeypatch):
    """Commands named as Slurm's: sbatch keeps what it is given, squeue prints a file."""
    programs = tmp_path / "programs"
    programs.mkdir()
    scripts = {
        "srun": "exit 1",
        "sbatch": f'cp "$1" {tmp_path}/batch.sh; echo Submitted batch job 4711',
        "squeue": f"cat {tmp_path}/queue",
    }
    for name, body in scripts.items():
        path = programs / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "queue").write_text("")
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_what_sbatch_is_given(fake_slurm):
    jobs = grid_jobs(fake_slurm / "out")
    flags = sweeps.options(
        jobs=2, retries=1, slurm_partition="gpu", slurm_time=90, slurm_mem="16G", slurm_gpus="1",
        slurm_constraint="a100|h100", slurm_cpus=4, slurm_account="me",
    )  # fmt: skip
    slurm.launch(jobs, flags)
    text = (fake_slurm / "batch.sh").read_text()
    wanted = [
        "--array=0-2%2", "--partition=gpu", "--time=90", "--mem=16G", "--gpus-per-node=1",
        "--constraint='a100|h100'", "--cpus-per-task=4", "--account=me", "--signal=USR2@90",
    ]  # fmt: skip
    lines = text.splitlines()
    assert [flag for flag in wanted if f"#SBATCH {flag}" not in lines] == []
    assert sys.executable in text


def test_jobs_in_the_queue_are_not_submitted_again(fake_slurm, capsys):
    jobs = grid_jobs(fake_slurm / "out")
    flags = sweeps.options()
    slurm.launch(jobs, flags)
    assert "Submitted 3 jobs in 3 tasks: Slurm job 4711." in capsys.readouterr().out
    (fake_slurm / "queue").write_text("4711_0\n4711_2\n")
    slurm.launch(jobs, flags)
    assert "Submitted 1 jobs in 1 tasks" in capsys.readouterr().out
    (fake_slurm / "queue").write_text("4711_0\n4711_2\n4711\n")
    slurm.launch(jobs, flags)
    assert "in Slurm's queue already" in capsys.readouterr().out
    assert all(states.read_state(job.folder).name == WAITING for job in jobs)


def test_while_slurm_does_not_tell_its_queue_nothing_is_submitted_again(fake_slurm, capsys):
    jobs = grid_jobs(fake_slurm / "out")
    flags = sweeps.options()
    slurm.launch(jobs, flags)
    (fake_slurm / "queue").unlink()
    (fake_slurm / "batch.sh").unlink()
    with pytest.raises(InputError, match=r"(?s)does not show its queue.*status 1.*Launch again"):
        slurm.launch(jobs, flags)
    assert not (fake_slurm / "batch.sh").exists()


def test_what_slurm_does_not_accept_is_an_error(fake_slurm):
    reason = "sbatch: error: Batch job submission failed: Invalid feature specification"
    (fake_slurm / "programs" / "sbatch").write_text(f"#!/bin/sh\necho {reason} >&2\nexit 1\n")
    jobs = grid_jobs(fake_slurm / "out")
    flags = sweeps.options(slurm_constraint="absent")
    with pytest.raises(InputError, match=r"(?s)Invalid feature specification.*--slurm"):
        slurm.launch(jobs, flags)
    assert slurm_queue.select_unqueued(jobs) == jobs


def test_an_array_that_is_not_accepted_does_not_undo_those_before(fake_slurm, capsys, monkeypatch):
    monkeypatch.setattr(slurm, "ARRAY", 2)
    sbatch = fake_slurm / "programs" / "sbatch"
    accepting = sbatch.read_text()
    sbatch.write_text(f"{accepting}echo '#!/bin/sh\nexit 1' > $0\n")
    jobs = grid_jobs(fake_slurm / "out")
    flags = sweeps.options()
    with pytest.raises(InputError, match="did not accept"):
        slurm.launch(jobs, flags)
    assert "Submitted 2 jobs in 2 tasks: Slurm job 4711." in capsys.readouterr().out
    (fake_slurm / "queue").write_text("4711_0\n4711_1\n")
    assert slurm_queue.select_unqueued(jobs) == jobs[2:]
    sbatch.write_text(accepting)
    slurm.launch(jobs, flags)
    assert "Submitted 1 jobs in 1 tasks: Slurm job 4711." in capsys.readouterr().out


def test_without_slurm_it_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="there is no Slurm here"):
        slurm.launch(grid_jobs(tmp_path), sweeps.options())


def test_without_submitit_it_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InputError, match=r"ndcl-domainbed\[slurm\]"):
        slurm.launch(grid_jobs(tmp_path), sweeps.options())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 90), ("90:30", 91), ("1:30:00", 90), ("2-12", 3600), ("1-0:30", 1470),
        ("1-01:02:03", 1503), ("3", 3), ("2:30", 3),
    ],
)  # fmt: skip
def test_times_are_sbatchs(text, expected):
    assert slurm.minutes(text) == expected


@pytest.mark.parametrize("text", ["", "a day", "1:2:3:4", "-5", "0", "2", "0:2:00"])
def test_other_times_are_errors(text):
    with pytest.raises(argparse.ArgumentTypeError):
        slurm.minutes(text)
