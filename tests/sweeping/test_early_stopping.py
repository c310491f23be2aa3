"""Draws that cannot win stop early; those that resume end as if nobody had paused them."""

import json
import signal

import pytest

from ndcl_domainbed.errors import InputError
from ndcl_domainbed.results import load, select
from ndcl_domainbed.results.reading import read_sweep
from ndcl_domainbed.results.report.provenance import describe_provenance
from ndcl_domainbed.run_folder import (
    DONE,
    FAILED,
    PAUSED,
    STOPPED,
    finished_steps,
    latest_claim,
)
from ndcl_domainbed.scripts import sweep
from ndcl_domainbed.sweeping import claims, early_stopping, states, status
from ndcl_domainbed.sweeping.early_stopping import Group
from ndcl_domainbed.sweeping.jobs import make_job
from ndcl_domainbed.sweeping.view import outcome
from tests.command_line import call
from tests.results.builder import record, write_run
from tests.sweeping import sweeps
from tests.training.runs import assert_same_run

HPARAMS = '{"backbone": "small_cnn", "batch_size": 3, "resnet_dropout": 0.1}'
GRID = ["--datasets", "Debug28", "--algorithms", "NDCL", "--test_envs", "0", "--single_test_envs",
        "--n_trials", "1", "--n_hparams", "4", "--steps", "11", "--checkpoint_freq", "2",
        "--hparams", HPARAMS, "--jobs", "2"]  # fmt: skip
STOP = ["--stop_early", "0.3", "--keep_draws", "2"]


def launch(folder, *flags, command="launch"):
    places = ["--data_dir", "none", "--output_dir", folder / "out", "--skip_confirmation"]
    return call("sweep", command, *GRID, *places, *flags)


def by_state(folder):
    """Return state -> the draws in it, of the jobs of a sweep."""
    found = {}
    for path in sweeps.job_folders(folder / "out"):
        args = json.loads(next((path / "results.jsonl").open()))["args"]
        found.setdefault(states.read_state(path).name, set()).add(args["hparams_seed"])
    return found


def best_draws(output_dir, step, keep):
    """Return the draws of a sweep that validate best up to ``step``, in plain loops."""
    scores = {}
    for path in sweeps.job_folders(output_dir):
        for line in (path / "results.jsonl").open():
            one = json.loads(line)
            if one["step"] <= step:
                score = (one["env1_out_acc"] + one["env2_out_acc"]) / 2
                draw = one["args"]["hparams_seed"]
                scores[draw] = max(scores.get(draw, 0.0), score)
    return set(sorted(scores, key=lambda draw: (scores[draw], draw))[-keep:])


def test_a_sweep_that_stops_early(tmp_path):
    """It is launched with --stop_early, looked at, launched again, and finished without."""
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    assert launch(whole).status == 0
    outcome = launch(halved, *STOP)
    assert outcome.status == 0, outcome.err
    _assert_those_that_resume_end_as_without_a_pause(whole, halved, outcome.out)
    _assert_status_and_tables_know_what_was_stopped(halved)
    again = launch(halved, *STOP)
    assert (again.status, "About to launch 0 jobs." in again.out) == (0, True)
    outcome = launch(halved)
    assert "About to launch 2 jobs." in outcome.out
    assert "4 jobs: 4 done, 0 running, 0 failed, 0 waiting." in outcome.out
    for path in sweeps.job_folders(halved / "out"):
        assert_same_run(path, whole / "out" / path.name)


def _assert_those_that_resume_end_as_without_a_pause(whole, halved, printed):
    found = by_state(halved)
    assert found[DONE] == best_draws(whole / "out", 4, 2)
    assert found.keys() == {DONE, STOPPED}
    assert len(found[STOPPED]) == 2
    for path in sweeps.job_folders(halved / "out"):
        alone = whole / "out" / path.name
        if (path / "done").exists():
            assert_same_run(path, alone)
            assert (path / "split.json").read_bytes() == (alone / "split.json").read_bytes()
        else:
            assert sweeps.steps(path) == [0, 2, 4]
            assert latest_claim(path).end.reason == "after step 4 not among the best 2 of 4 draws"
    assert "Of 4 draws the best 2 resume after step 4; the others are stopped." in printed
    assert printed.count("/4 paused  NDCL") == 4
    assert "2 of 4 draws resume." in printed
    assert "4 jobs: 2 done, 0 running, 0 failed, 0 waiting, 2 stopped." in printed


def _assert_status_and_tables_know_what_was_stopped(halved):
    shown = launch(halved, command="status").out
    assert "22 of 22 steps." in shown
    assert shown.splitlines()[-2].split() == [
        "done", "running", "failed", "waiting", "stopped",
    ]  # fmt: skip
    assert shown.splitlines()[-1].split()[-2:] == ["2", "2"]
    assert "About to delete 0 jobs." in launch(halved, command="delete_incomplete").out
    tables = ("collect_results", "--input_dir", halved / "out", "--selection", "training")
    for more in ((), ("--partial",)):
        shown = call(*tables, "--counts", "--verbose", "--cost", *more)
        assert "Runs: 2 done, 2 stopped (left out)." in shown.out
        assert "2 of 4 draws stopped early, at step 4: they count as draws and are" in shown.out
        assert "(1/4)" in shown.out
        assert "stopped (after step 4 not among the best 2 of 4 draws)" in shown.err
        costs = [line.split() for line in shown.out.partition("Cost")[2].splitlines()]
        assert ["NDCL", "4"] in [[line[0], line[2]] for line in costs if len(line) == 4]
    made = describe_provenance(read_sweep(halved / "out"))
    assert made["runs"].startswith("2 done, 2 stopped (left out). 2 of 4 draws stopped early, at")


FLAGS = ["--algorithms", "ERM", "--test_envs", "0", "--n_trials", "1", "--n_hparams", "4",
         "--steps", "41", "--checkpoint_freq", "5", "--jobs", "2", "--stop_early", "0.125",
         "--keep_draws", "2"]  # fmt: skip


def launch_and_kill(output_dir, beyond):
    """Launch the sweep, and kill the launcher once a job that runs has a record after a step."""
    launcher = sweeps.start("launch", output_dir, *FLAGS)

    def has_come_far():
        running = sweeps.running(output_dir)
        return any(finished_steps(claim.path.parent) > beyond + 1 for claim in running)

    sweeps.wait_for(has_come_far, launcher)
    launcher.send_signal(signal.SIGKILL)
    launcher.communicate()


def test_a_launch_that_is_killed_continues_with_the_same_decision(tmp_path):
    launch_and_kill(tmp_path, -1)
    launch_and_kill(tmp_path, 5)  # the rung
    again = sweeps.start("launch", tmp_path, *FLAGS)
    other = sweeps.start("launch", tmp_path, *FLAGS, "--seed", "1")
    for one in (again, other):
        out, err = one.communicate(timeout=sweeps.LIMIT)
        assert one.returncode == 0, err
    assert "4 jobs: 2 done, 0 running, 0 failed, 0 waiting, 2 stopped." in out
    done = set()
    for folder in sweeps.job_folders(tmp_path):
        if (folder / "done").exists():
            sweeps.assert_done_once(folder, 41, 5)
            done.add(json.loads(next((folder / "results.jsonl").open()))["args"]["hparams_seed"])
        else:
            assert sweeps.steps(folder) == [0, 5]
    assert done == best_draws(tmp_path, 5, 2)


def group(root, validation, keep, *, target=None, failed=()):
    """Return a group of draws at its rung, step 10 of 100; ``validation``: draw -> two scores.

    The later of the two records is beyond the rung, and must not count.
    """
    jobs = []
    for draw, (score, later) in validation.items():
        args = {"dataset": "PACS", "algorithm": "ERM", "test_envs": [1], "trial_seed": 0,
                "hparams_seed": draw, "imbalance": "Duality"}  # fmt: skip
        job = make_job(args, str(root), 100)
        shares = {f"{env}_{split}": 0.5 for env in range(4) for split in ("in", "out", "val")}
        made = []
        for step, value in ((0, 0.0), (10, score), (20, later)):
            shares |= {"0_val": value, "2_val": value, "3_val": value}
            shares |= {
                f"1_{split}": (target or {}).get(draw, 0.5) for split in ("in", "out", "val")
            }
            about = {name: args[name] for name in ("trial_seed", "hparams_seed", "imbalance")}
            made.append(record(step, shares, test_envs=[1], **about))
        if draw in failed:
            job.folder.mkdir(parents=True)
            claims.take(job.folder, 0).finish(FAILED, "no luck")
        else:
            write_run(job.folder, made, done=False)
            claims.take(job.folder, 0).finish(PAUSED)
        jobs.append(job)
    return Group(jobs, 11, keep)


def test_a_stopped_draw_is_never_chosen(tmp_path):
    one = group(tmp_path, {0: (0.8, 0.1), 1: (0.7, 0.9)}, 1)
    records = load(tmp_path)
    assert select(records, "balanced", partial=True)["hparams_seed"].tolist() == [1]
    one.stop_others()
    records = load(tmp_path)
    assert select(records, "balanced", partial=True)["hparams_seed"].tolist() == [0]
    assert set(records.loc[records["stopped"], "hparams_seed"]) == {1}


def test_draws_stopped_at_an_earlier_rung_run_up_to_a_later_one(tmp_path):
    one = group(tmp_path, {draw: (draw / 10, 0.0) for draw in range(4)}, 1)
    one.stop_others()
    found = status.read_all(one.draws)
    assert len(early_stopping.find_settled([one], found)) == 3
    assert early_stopping.find_settled([Group(one.draws, 31, 1)], found) == set()


def draws(jobs):
    return {job.train_args["hparams_seed"] for job in jobs}


def test_neither_the_target_nor_what_comes_later_decides(tmp_path):
    validation = {0: (0.8, 0.1), 1: (0.7, 0.9), 2: (0.6, 0.9), 3: (0.9, 0.1)}
    target = {0: 0.1, 1: 0.9, 2: 0.9, 3: 0.0}
    kept, others = group(tmp_path, validation, 2, target=target).split()
    assert (draws(kept), draws(others)) == ({0, 3}, {1, 2})


def test_ties_go_to_the_draw_that_selection_would_take(tmp_path):
    validation = dict.fromkeys(range(4), (0.5, 0.5)) | {1: (0.5 + 1e-12, 0.5)}
    assert draws(group(tmp_path, validation, 2).split()[0]) == {2, 3}


def test_failed_draws_do_not_compete_and_draws_under_way_are_waited_for(tmp_path):
    one = group(tmp_path, {draw: (draw / 10, 0.0) for draw in range(5)}, 2, failed=(1, 4))
    kept = one.stop_others()
    assert draws(kept) == {2, 3}
    found = {draw: states.read_state(job.folder).name for draw, job in enumerate(one.draws)}
    assert found == {0: STOPPED, 1: FAILED, 2: "waiting", 3: "waiting", 4: FAILED}
    claims.take(one.draws[4].folder, 1)  # somebody tries it again
    assert one.split() == ([], [])


def test_a_draw_that_is_done_or_runs_is_never_marked(tmp_path):
    one = group(tmp_path, {draw: (draw / 10, 0.0) for draw in range(4)}, 1)
    (one.draws[0].folder / "done").write_text("done")
    claims.take(one.draws[1].folder, 1)
    assert draws(one.stop_others()) == {3}
    names = [states.read_state(job.folder).name for job in one.draws]
    assert names == [DONE, "running", STOPPED, "waiting"]
    lines = status.describe(status.read_all(one.draws))
    assert lines[0] == "4 jobs: 1 done, 1 running, 0 failed, 1 waiting, 1 stopped."
    # the one that runs has a record of step 20, and so has the one that paused
    assert lines[1].startswith("142 of 300 steps")


def test_a_stopped_draw_that_a_launch_considers_again_is_shown_as_paused(tmp_path):
    one = group(tmp_path, {draw: (draw / 10, 0.0) for draw in range(4)}, 1)
    one.stop_others()
    job = one.draws[2]
    state = states.read_state(job.folder)
    assert outcome(one.pausing_draws()[job], state) == f"paused  {job.title()}"
    assert "stopped" in outcome(job, state) and "the best 1 of 4 draws" in outcome(job, state)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--stop_early", "0"], r"--stop_early is a share of the steps, 0 < share < 1; got 0"),
        (["--stop_early", "1"], "got 1"),
        (["--stop_early", "--keep_draws", "0"], "--keep_draws is a whole number or a share below"),
        (["--stop_early", "--keep_draws", "1.5"], "got 1.5"),
        (["--keep_draws", "1"], "--keep_draws works only with --stop_early"),
        (["--stop_early", "0.9"], "is not evaluated between then and its last step; set --check"),
        (["--stop_early", "--command_launcher", "dummy"], "local, multi_gpu, ray; dummy does not"),
        (["--stop_early", "--command_launcher", "slurm"], "local, multi_gpu, ray; slurm does not"),
    ],
)
def test_what_cannot_be_is_an_error_before_anything_is_written(tmp_path, flags, message):
    folders = ["--data_dir", str(tmp_path), "--output_dir", str(tmp_path / "out")]
    with pytest.raises(InputError, match=message):
        sweep.main(["launch", *GRID, *folders, "--skip_confirmation", *flags])
    assert not (tmp_path / "out").exists()


def test_pairs_of_targets_are_refused(tmp_path):
    flags = [flag for flag in GRID if flag not in ("--single_test_envs", "--test_envs")]
    flags.remove("0")
    places = ["--data_dir", tmp_path, "--output_dir", tmp_path / "out"]
    outcome = call("sweep", "launch", *flags, *places, "--stop_early")
    assert outcome.status == 2
    assert outcome.err.startswith("error: --stop_early needs --single_test_envs")


def test_groups_differ_in_anything_but_the_draw():
    args = {"dataset": "PACS", "algorithm": "ERM", "test_envs": [0], "trial_seed": 0,
            "data_dir": "d", "hparams": '{"frozen": true}'}  # fmt: skip
    others = [{}, {"algorithm": "NDCL"}, {"trial_seed": 1}, {"imbalance": "Cross"}]
    jobs = [
        make_job({**args, **other, "hparams_seed": draw, "seed": draw}, "", 301)
        for draw in range(8)
        for other in others
    ]
    options = sweeps.options(stop_early=1 / 3)
    groups = early_stopping.group_draws(jobs, options)
    assert [(len(one.draws), one.n_steps, one.keep) for one in groups] == [(8, 101, 2)] * 4
    assert early_stopping.group_draws(jobs[:4], options) == []
