"""Launchers as they are: processes that are killed, stopped and started again."""

import os
import random
import signal
from pathlib import Path

import pytest

from ndcl_domainbed.run_folder import DONE, FAILED, RUNNING, all_claims
from ndcl_domainbed.sweeping import claims, running
from ndcl_domainbed.sweeping.jobs import make_job
from ndcl_domainbed.sweeping.running import describe_status
from ndcl_domainbed.sweeping.states import read_state
from tests.sweeping import sweeps
from tests.sweeping.test_claims import age, take_as

FLAGS = ["--steps", "100", "--checkpoint_freq", "5", "--n_trials", "1"]


def two_running(output_dir, launcher):
    """Return the claims of two jobs, once they run."""
    return sweeps.wait_for(
        lambda: len(found := sweeps.running(output_dir)) == 2 and found, launcher
    )


def test_a_job_that_is_killed_resumes_and_one_that_keeps_dying_fails_alone(tmp_path):
    launcher = sweeps.start("launch", tmp_path, *FLAGS, "--retries", "1", "--jobs", "2")
    first, second = two_running(tmp_path, launcher)
    os.kill(first.owner.pid, signal.SIGSEGV)
    os.kill(second.owner.pid, signal.SIGKILL)

    def second_again():
        return [claim for claim in sweeps.running(tmp_path)
                if claim.path.parent == second.path.parent and claim.number == 1]  # fmt: skip

    os.kill(sweeps.wait_for(second_again, launcher)[0].owner.pid, signal.SIGKILL)
    out, err = launcher.communicate(timeout=sweeps.LIMIT)
    assert launcher.returncode == 1
    assert out.count("About to launch 3 jobs.") == 1  # the script that launched has no guard
    assert "3 jobs: 2 done, 0 running, 1 failed, 0 waiting." in out
    assert err.count("failed: ") == 1
    assert str(second.path.parent) in err
    assert "killed by SIGKILL, perhaps for lack of memory" in err
    assert (second.path.parent / "err.txt").read_text().splitlines()[-1].endswith("of memory")
    for folder in sweeps.job_folders(tmp_path):
        if folder != second.path.parent:
            sweeps.assert_done_once(folder, 100, 5)
    ends = [claim.end for claim in all_claims(first.path.parent)]
    assert [end.outcome for end in ends] == ["failed", "done"]
    assert "SIGSEGV" in ends[0].reason


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_sweep_survives_the_death_of_its_server_and_then_of_its_launcher(tmp_path):
    launcher = sweeps.start("launch", tmp_path, *FLAGS, "--jobs", "2")
    found = two_running(tmp_path, launcher)
    server = sweeps.parent(found[0].owner.pid)
    assert server in sweeps.children(launcher.pid)
    assert {claim.owner.pid for claim in found} <= set(sweeps.children(server))
    os.kill(server, signal.SIGKILL)
    found = sweeps.wait_for(
        lambda: [claim for claim in sweeps.running(tmp_path) if claim.number == 1], launcher
    )
    launcher.terminate()
    launcher.communicate(timeout=sweeps.LIMIT)
    assert launcher.returncode == 143
    assert not any(claim.owner.runs_here() for claim in found)
    # The dead server's jobs end by themselves, the launcher does not wait for them.
    folders = sweeps.job_folders(tmp_path)
    sweeps.wait_until(lambda: all(read_state(one).name != RUNNING for one in folders))
    again = sweeps.start("launch", tmp_path, *FLAGS)
    out, _ = again.communicate(timeout=sweeps.LIMIT)
    assert again.returncode == 0
    assert "3 jobs: 3 done" in out
    for folder in sweeps.job_folders(tmp_path):
        sweeps.assert_done_once(folder, 100, 5)


def test_two_launchers_whose_jobs_are_killed_at_random_do_every_job_once(tmp_path):
    rng = random.Random(0)
    flags = ["--steps", "40", "--checkpoint_freq", "4", "--n_trials", "2", "--retries", "50"]
    launchers = [
        sweeps.start("launch", tmp_path, *flags, "--jobs", "2", "--seed", str(seed))
        for seed in range(2)
    ]
    killed = set()
    for _ in range(5):
        found = sweeps.wait_for(
            lambda: [claim for claim in sweeps.running(tmp_path) if claim.owner not in killed],
            launchers[0],
        )
        victim = rng.choice(found)
        killed.add(victim.owner)
        os.kill(victim.owner.pid, signal.SIGKILL)
    launchers[1].kill()  # its jobs are left to the other
    out, err = launchers[0].communicate(timeout=sweeps.LIMIT)
    assert launchers[0].returncode == 0, err
    assert "6 jobs: 6 done, 0 running, 0 failed, 0 waiting." in out
    launchers[1].communicate()
    folders = sweeps.job_folders(tmp_path)
    for folder in folders:
        sweeps.assert_done_once(folder, 40, 4)
    assert sum(len(all_claims(folder)) for folder in folders) >= 6 + 5


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_a_job_that_the_system_refuses_memory_says_so_and_resumes(tmp_path):
    flags = ["--steps", "2", "--n_trials", "1", "--retries", "1", "--test_envs", "0"]
    hparams = ["--hparams", '{"batch_size": 32}']  # activations of 12 MB and more
    launcher = sweeps.start("launch", tmp_path, *flags, *hparams, SWEEP_MEMORY=str(2**22))
    out, err = launcher.communicate(timeout=sweeps.LIMIT)
    assert launcher.returncode == 0, err
    assert "1 jobs: 1 done, 0 running, 0 failed, 0 waiting." in out
    for folder in sweeps.job_folders(tmp_path):
        refused, done = (claim.end for claim in all_claims(folder))
        assert (refused.outcome, refused.crashed) == (FAILED, True)
        assert "memory" in refused.reason
        assert (folder / "err.txt").read_text() == ""  # it is done
        assert done.outcome == DONE
        assert sweeps.steps(folder) == [0, 1]


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (-11, "the process was killed by SIGSEGV"),
        (-9, "the process was killed by SIGKILL, perhaps for lack of memory"),
        (-60, "the process was killed by signal 60"),
        (3, "the process ended with exit status 3"),
    ],
)
def test_exit_statuses_are_explained(status, text):
    assert describe_status(status) == text


def test_a_job_whose_machine_was_lost_is_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "WATCHED", 0.0)
    monkeypatch.setattr(running, "LOOK_ELSEWHERE", 0.0)
    args = {"dataset": "Debug28", "algorithm": "ERM", "test_envs": [0], "trial_seed": 0,
            "hparams_seed": 0, "steps": 2, "hparams": '{"batch_size": 2}'}  # fmt: skip
    lost, alive = (make_job({**args, "seed": seed}, str(tmp_path), 2) for seed in range(2))
    age(take_as(lost.folder, 0, machine="another").path, claims.TIMEOUT + 1)
    other = take_as(alive.folder, 0, machine="another")

    started = running.view.View.started

    def finish_the_other(display, job):
        (alive.folder / "done").write_text("done")
        other.finish(DONE)
        started(display, job)

    monkeypatch.setattr(running.view.View, "started", finish_the_other)
    running.run_jobs([lost, alive], [{}], threads=1, retries=0)
    assert [claim.number for claim in all_claims(lost.folder)] == [0, 1]
    assert (lost.folder / "done").exists()
    assert [claim.number for claim in all_claims(alive.folder)] == [0]
