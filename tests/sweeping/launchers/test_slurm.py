"""submitit with its local executor, which runs real tasks; and what is handed to sbatch.

A whole Slurm is in tests/slurm.
"""

import argparse
import contextlib
import json
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


@pytest.mark.usefixtures("traced")
def test_a_task_that_is_preempted_resumes_in_a_new_one(tmp_path):
    (job,) = grid_jobs(tmp_path, steps=100)[:1]
    executor = submitit.LocalExecutor(tmp_path / "slurm" / "%j", max_num_timeout=3)
    executor.update_parameters(timeout_min=5)
    kept = []
    real = executor.submit
    executor.submit = lambda task: kept.append(real(task)) or kept[-1]
    options = sweeps.options(slurm_jobs_per_task=3, retries=0)
    submitted = list(slurm.submit([job], 1, options, executor))
    (task,) = kept
    assert submitted == [{task.job_id: [job]}]

    (first,) = sweeps.wait_for(lambda: sweeps.running(tmp_path), task._process)
    before = sweeps.steps(job.folder)
    assert sweeps.parent(first.owner.pid) == task._process.pid  # it runs in submitit's own process
    os.kill(first.owner.pid, signal.SIGUSR2)  # as Slurm does before
    task.result()
    sweeps.assert_done_once(job.folder, 100, 5)
    assert [claim.end.outcome for claim in all_claims(job.folder)] == [INTERRUPTED, DONE]
    out = (job.folder / "out.txt").read_text()
    assert int(re.search(r"Resuming after step (\d+)", out)[1]) >= before[-1]


@pytest.mark.parametrize("is_told", [True, False])
def test_a_task_of_several_jobs_stops_them_before_it_is_submitted_again(
    tmp_path, monkeypatch, is_told
):
    """Real jobs are stopped in tests/sweeping/test_running.py."""
    seen = []

    def run_jobs(jobs, slots, threads, retries):
        seen.append(len(jobs))
        signal.raise_signal(signal.SIGUSR2 if is_told else signal.SIGTERM)

    monkeypatch.setattr(slurm, "run_jobs", run_jobs)
    kept = signal.signal(signal.SIGUSR2, lambda number, frame: seen.append(number))
    try:
        with contextlib.nullcontext() if is_told else pytest.raises(SystemExit):
            slurm.Task(grid_jobs(tmp_path), 1, 0)()
    finally:
        signal.signal(signal.SIGUSR2, kept)
    assert seen == [3, signal.SIGUSR2][: 1 + is_told]


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
        slurm_constraint="a100|h100", slurm_cpus=4, slurm_account="me", slurm_qos="long",
        slurm_exclude="node[3-5]", slurm_setup=["module load cuda", "conda activate dg"],
        slurm_sbatch=[("reservation", "dg"), ("exclusive", True)],
    )  # fmt: skip
    slurm.launch(jobs, flags)
    text = (fake_slurm / "batch.sh").read_text()
    wanted = [
        "--array=0-2%2", "--partition=gpu", "--time=90", "--mem=16G", "--gpus-per-node=1",
        "--constraint='a100|h100'", "--cpus-per-task=4", "--account=me", "--signal=USR2@90",
        "--qos=long", "--exclude='node[3-5]'", "--reservation=dg", "--exclusive",
    ]  # fmt: skip
    lines = text.splitlines()
    assert [flag for flag in wanted if f"#SBATCH {flag}" not in lines] == []
    setup = lines.index("module load cuda")
    assert lines[setup + 1] == "conda activate dg"
    assert any("srun" in line for line in lines[setup:])
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


def allow(fake_slurm, *, array, total, config=""):
    """Have sbatch refuse arrays of more than ``array`` tasks, and all after ``total`` tasks."""
    (fake_slurm / "programs" / "sbatch").write_text(f"""#!/bin/sh
tasks=$(sed -n 's/.*--array=0-\\([0-9]*\\)%.*/\\1/p' "$1")
tasks=$((${{tasks:-0}} + 1))
before=$(cat {fake_slurm}/count 2>/dev/null || echo 0)
if [ $tasks -gt {array} ]; then
    echo "sbatch: error: Batch job submission failed: Invalid job array specification" >&2; exit 1
fi
if [ $((before + tasks)) -gt {total} ]; then
    echo "sbatch: error: AssocMaxSubmitJobLimit" >&2
    echo "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy" \\
         "(job submit limit, user's size and/or time limits)" >&2
    exit 1
fi
echo $((before + tasks)) > {fake_slurm}/count
echo "$tasks" >> {fake_slurm}/arrays
echo Submitted batch job 47$((before + tasks))
""")
    scontrol = fake_slurm / "programs" / "scontrol"
    scontrol.write_text(f"#!/bin/sh\nprintf '{config}'\n")
    scontrol.chmod(0o755)
    (fake_slurm / "count").unlink(missing_ok=True)


@pytest.mark.parametrize(
    "config", ["MaxArraySize            = 2\\nMaxJobCount = 10000\\n", "MaxJobCount = 2\\n", ""]
)
def test_arrays_are_as_large_as_slurm_allows(fake_slurm, config):
    allow(fake_slurm, array=2, total=100, config=config)
    slurm.launch(grid_jobs(fake_slurm / "out"), sweeps.options())
    assert sorted((fake_slurm / "arrays").read_text().split()) in (["1", "2"], ["1", "1", "1"])


def test_jobs_limits_the_tasks_of_all_arrays(fake_slurm):
    allow(fake_slurm, array=2, total=100, config="MaxArraySize = 2\\n")
    sbatch = fake_slurm / "programs" / "sbatch"
    keep = f'cp "$1" {fake_slurm}/batch$((before + tasks))'
    sbatch.write_text(sbatch.read_text().replace("echo Submitted", f"{keep}\necho Submitted"))
    slurm.launch(grid_jobs(fake_slurm / "out"), sweeps.options(jobs=1))
    assert "--dependency" not in (fake_slurm / "batch2").read_text()
    assert "--dependency=afterany:472" in (fake_slurm / "batch3").read_text()


def test_what_a_user_may_submit_is_submitted(fake_slurm, capsys):
    allow(fake_slurm, array=100, total=2)
    jobs = grid_jobs(fake_slurm / "out")
    with pytest.raises(InputError, match=r"submit limit.*\n1 tasks are left.*jobs_per_task 10"):
        slurm.launch(jobs, sweeps.options())
    assert capsys.readouterr().out.count("Submitted 1 jobs in 1 tasks") == 2
    (fake_slurm / "queue").write_text("471\n472\n")
    assert slurm_queue.select_unqueued(jobs) == jobs[2:]
    allow(fake_slurm, array=100, total=2)
    slurm.launch(jobs, sweeps.options())
    assert "Submitted 1 jobs in 1 tasks: Slurm job 471." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "cpus"),
    [
        ({}, 1), ({"slurm_gpus": "1"}, 9), ({"slurm_gpus": "1", "num_workers": 2}, 3),
        ({"slurm_gpus": "a100:1", "slurm_cpus": 4}, 4),
    ],
)  # fmt: skip
def test_a_gpu_has_the_cores_that_feed_it(fake_slurm, flags, cpus):
    grid = Grid(datasets=["Debug28", "PACS"], algorithms=["ERM"], data_dir="d", n_hparams=1,
                n_trials=1)  # fmt: skip
    slurm.launch(expand([grid], str(fake_slurm / "out")), sweeps.options(**flags))
    assert f"#SBATCH --cpus-per-task={cpus}\n" in (fake_slurm / "batch.sh").read_text()


@pytest.mark.parametrize("hparams", [{"frozen": True}, {}])
def test_data_in_memory_needs_no_loader(fake_slurm, hparams):
    grid = Grid(
        datasets=["PACS" if hparams else "Debug28"], algorithms=["ERM"], data_dir="d", n_hparams=1,
        n_trials=1, run_args={"hparams": json.dumps(hparams)},
    )  # fmt: skip
    jobs = expand([grid], str(fake_slurm / "out"))
    assert slurm.default_cpus(jobs, sweeps.options(slurm_gpus="1")) == 1


def test_without_slurm_it_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="there is no Slurm here"):
        slurm.check(grid_jobs(tmp_path), sweeps.options())


def test_without_submitit_it_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InputError, match=r"ndcl-domainbed\[slurm\]"):
        slurm.check(grid_jobs(tmp_path), sweeps.options())


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
