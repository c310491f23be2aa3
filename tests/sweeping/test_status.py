import json
import os
import subprocess
import time
from types import SimpleNamespace

import pytest

from ndcl_domainbed.errors import InputError, RunFailure
from ndcl_domainbed.run_folder import DONE, FAILED, INTERRUPTED, WAITING, State, latest_claim
from ndcl_domainbed.scripts import sweep
from ndcl_domainbed.sweeping import claims, manifest, slurm_queue, status
from ndcl_domainbed.sweeping.jobs import make_job
from ndcl_domainbed.sweeping.pace import pace_of

ARGS = {"dataset": "PACS", "test_envs": [0], "hparams_seed": 0, "imbalance": "Duality"}


@pytest.fixture
def jobs(tmp_path):
    """Six jobs: done, failed, running after 4 of 10 steps, and three that wait."""
    names = ["ERM", "ERM", "ERM", "ERM", "NDCL", "NDCL"]
    jobs = [
        make_job({**ARGS, "algorithm": name, "trial_seed": seed}, str(tmp_path), 10)
        for seed, name in enumerate(names)
    ]
    manifest.record_jobs(jobs, str(tmp_path))
    taken = [claims.take(job.folder, 0) for job in jobs[:3]]
    taken[0].finish(DONE)
    (jobs[0].folder / "done").write_text("done")
    rewrite(taken[0].path, since=100.0, at=140.0)
    taken[1].finish(FAILED, "no luck")
    (jobs[2].folder / "results.jsonl").write_text('{"step": 3}\n')
    return jobs


def rewrite(path, since, at):
    content = json.loads(path.read_text())
    content["since"], content["end"]["at"] = since, at
    path.write_text(json.dumps(content))


def test_it_tells_counts_progress_and_time_to_go(jobs):
    lines = status.describe(status.read_all(jobs))
    assert lines[0] == "6 jobs: 1 done, 1 running, 1 failed, 3 waiting."
    to_go = "about 2 min 24 s to go with 1 jobs at a time"  # 36 steps of 4 s
    assert lines[1] == f"14 of 60 steps; {to_go}."
    assert any("4 of 10 steps (40 %), process " in line for line in lines)
    assert any(line.endswith(f"no luck (see {jobs[1].folder})") for line in lines)
    erm, ndcl = (line.split() for line in lines[-2:])
    assert erm == ["PACS/Duality", "ERM", "1", "1", "1", "1"]
    assert ndcl == ["PACS/Duality", "NDCL", "2"]


def test_variants_of_an_algorithm_have_lines_of_their_own():
    both = [{}, {"hparams": '{"class_prior": "logit"}'}]
    jobs = [make_job({**ARGS, **one, "algorithm": "NDCL", "trial_seed": 0}, "", 1) for one in both]
    lines = status.table({job: State(WAITING) for job in jobs})
    assert [line.split()[:-1] for line in lines[1:]] == [
        ["PACS/Duality", "NDCL"], ["PACS/Duality", "NDCL", "(class_prior=logit)"],
    ]  # fmt: skip


def test_the_second_line_tells_how_far_the_jobs_are(jobs):
    for which, line in (
        (jobs[2:], "4 of 40 steps; no estimate until a job finishes."),
        ([jobs[0], *jobs[3:]], "10 of 40 steps; nothing is running."),
        (jobs[:1], "10 of 10 steps."),
    ):
        assert status.describe(status.read_all(which))[1] == line


def test_the_steps_of_an_interrupted_job_count(jobs):
    latest_claim(jobs[2].folder).finish(INTERRUPTED)
    assert status.describe(status.read_all(jobs[2:]))[1] == "4 of 40 steps; nothing is running."


def test_the_pace_is_that_of_the_kind_or_the_mean(jobs):
    pace = pace_of(status.read_all(jobs))
    assert [pace.knows(job) for job in jobs] == [True] * 4 + [False] * 2
    assert pace.seconds_per_step(jobs[3]) == pace.seconds_per_step(jobs[4]) == pytest.approx(4.0)


def test_a_job_that_no_sweep_finished_or_whose_clock_was_set_back_does_not_count(jobs):
    claim = latest_claim(jobs[0].folder)
    rewrite(claim.path, since=140.0, at=100.0)
    assert pace_of(status.read_all(jobs)).seconds == {}
    claim.finish(INTERRUPTED)
    rewrite(claim.path, since=100.0, at=101.0)
    assert pace_of(status.read_all(jobs)).seconds == {}


def test_a_job_that_started_later_than_now_has_run_for_no_time(jobs, monkeypatch):
    since = latest_claim(jobs[2].folder).since
    monkeypatch.setattr(status.time, "time", lambda: since - 3600)
    lines = status.describe(status.read_all(jobs))
    assert any(line.endswith(", for 0 s") for line in lines)


def test_watching_ends_when_nothing_runs(jobs, tmp_path, capsys, monkeypatch):
    def next_look(seconds):
        latest_claim(jobs[2].folder).finish(INTERRUPTED)

    monkeypatch.setattr(status.time, "sleep", next_look)
    assert sweep.main(["status", "--output_dir", str(tmp_path), "--watch"]) == 0
    out = capsys.readouterr().out
    assert "6 jobs: 1 done, 1 running, 1 failed, 3 waiting." in out
    assert out.count("6 jobs: ") == 2
    assert "nothing is running" in out


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """The file whose lines a command named as Slurm's squeue prints: the tasks in the queue."""
    queue = tmp_path / "queue"
    program = tmp_path / "programs" / "squeue"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat {queue}\n")  # without the file, it fails
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return queue


def test_jobs_in_slurms_queue_are_not_deleted(jobs, queue):
    latest_claim(jobs[2].folder).finish(INTERRUPTED)  # a task that was requeued at its time limit
    slurm_queue.note({"7_0": jobs[2:3]})
    queue.write_text("7_0\n")
    claims.take(jobs[3].folder, 0).finish(INTERRUPTED)
    options = SimpleNamespace(skip_confirmation=True)
    sweep.delete_incomplete(jobs, options)
    assert [job.folder.exists() for job in jobs[:4]] == [True, False, True, False]
    queue.unlink()
    with pytest.raises(InputError, match="in which jobs may wait: squeue ended"):
        sweep.delete_incomplete(jobs, options)


@pytest.mark.parametrize("is_terminal", [False, True])
def test_watching_continues_while_jobs_wait_in_a_queue(
    jobs, queue, capsys, monkeypatch, is_terminal
):
    latest_claim(jobs[2].folder).finish(INTERRUPTED)
    slurm_queue.note({"7_0": jobs[2:4], "7_1": jobs[4:5]})
    queue.write_text("7_0\n7_1\n")
    looks = []

    def next_look(seconds):
        looks.append(seconds)
        if len(looks) == 1:
            claims.take(jobs[2].folder, 1)  # the first task starts
        elif len(looks) == 2:
            latest_claim(jobs[2].folder).finish(INTERRUPTED)
            queue.write_text("7_1\n")
        else:
            queue.write_text("")

    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal, raising=False)
    monkeypatch.setattr(status, "time", SimpleNamespace(time=time.time, sleep=next_look))
    status.watch(jobs)
    assert looks == [status.QUEUE_PERIOD, status.PERIOD, status.QUEUE_PERIOD]
    out = capsys.readouterr().out
    assert "In Slurm's queue: 3 jobs." in out
    assert "In Slurm's queue: 1 jobs." in out
    assert "1 running" in out
    assert out.count(status.CLEAR) == 4 * is_terminal


def test_watching_continues_while_slurm_does_not_answer(jobs, queue, capsys, monkeypatch):
    latest_claim(jobs[2].folder).finish(INTERRUPTED)
    slurm_queue.note({"7_0": jobs[3:5]})
    queue.write_text("7_0\n")
    looks = []

    def next_look(seconds):
        looks.append(seconds)
        if len(looks) == 4:
            queue.write_text("")
        else:
            queue.unlink(missing_ok=True)

    monkeypatch.setattr(status, "time", SimpleNamespace(time=time.time, sleep=next_look))
    status.watch(jobs)
    assert looks == [status.QUEUE_PERIOD] * 4
    printed = capsys.readouterr()
    assert printed.err.count("Slurm does not show its queue: squeue ended with") == 1
    assert printed.err.count("No such file or directory") == 1
    assert printed.out.count("In Slurm's queue: 2 jobs.") == 4


def test_watching_ends_when_slurm_does_not_answer_for_long(jobs, queue, capsys, monkeypatch):
    latest_claim(jobs[2].folder).finish(INTERRUPTED)
    slurm_queue.note({"7_0": jobs[3:5]})
    looks = []
    clock = SimpleNamespace(time=time.time, sleep=looks.append)
    monkeypatch.setattr(status, "time", clock)
    with pytest.raises(RunFailure, match=r"(?s)does not show its queue.*asked 21 times"):
        status.watch(jobs)
    assert len(looks) == slurm_queue.MAX_FAILURES == 20


def test_where_there_is_no_slurm_it_is_not_waited_for(jobs, tmp_path, capsys, monkeypatch):
    latest_claim(jobs[2].folder).finish(INTERRUPTED)
    slurm_queue.note({"7_0": jobs[3:5]})
    monkeypatch.setenv("PATH", str(tmp_path))
    status.watch(jobs)
    assert "nothing is running" in capsys.readouterr().out


def test_a_slow_answer_is_no_answer(jobs, monkeypatch):
    def run(command, timeout, **rest):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(slurm_queue.subprocess, "run", run)
    with pytest.raises(slurm_queue.NoAnswer, match="squeue took longer than 60 seconds"):
        slurm_queue.tasks_in_queue()


def test_a_task_in_the_queue_whose_jobs_are_done_is_not_waited_for(jobs, queue, monkeypatch):
    latest_claim(jobs[2].folder).finish(INTERRUPTED)
    slurm_queue.note({"7_0": jobs[:1]})
    queue.write_text("7_0\n")
    clock = SimpleNamespace(time=time.time, sleep=lambda seconds: pytest.fail("it waits"))
    monkeypatch.setattr(status, "time", clock)
    status.watch(jobs)


def test_a_folder_without_a_launch_and_a_launch_to_watch_are_errors(tmp_path):
    for argv, message in (
        (["status"], r"has no jobs\.jsonl"),
        (["launch", "--watch"], "--watch works only with status"),
    ):
        with pytest.raises(InputError, match=message):
            sweep.main([*argv, "--output_dir", str(tmp_path)])


def test_a_file_in_place_of_the_folder_of_a_sweep_is_an_error(tmp_path):
    (tmp_path / "sweep").write_text("")
    with pytest.raises(InputError, match=r"cannot read the jobs in .*sweep: Not a directory"):
        sweep.main(["status", "--output_dir", str(tmp_path / "sweep")])
