import dataclasses
import json
import re
from pathlib import Path

import pytest
import torch

from ndcl_domainbed.errors import InputError
from ndcl_domainbed.processes import cores
from ndcl_domainbed.run_folder import DONE, State
from ndcl_domainbed.scripts import sweep
from ndcl_domainbed.sweeping import claims, planning
from ndcl_domainbed.sweeping.jobs import make_job
from ndcl_domainbed.sweeping.launchers.multi_gpu import VISIBLE
from ndcl_domainbed.sweeping.pace import Pace, kind_of

ARGS = {"dataset": "Debug28", "algorithm": "ERM", "data_dir": "d"}


@pytest.mark.parametrize(
    ("steps", "every", "expected"),
    [(1, 5, 1), (5, 5, 2), (6, 5, 2), (7, 5, 3), (11, 5, 3), (5001, None, 51), (10, 1, 10)],
)
def test_checkpoints_are_those_of_the_loop(steps, every, expected):
    args = {**ARGS, "checkpoint_freq": every} if every else ARGS
    job = make_job(args, "out", steps)
    freq = every or 100
    counted = sum(step % freq == 0 or step == steps - 1 for step in range(steps))
    assert planning.checkpoints(job) == counted == expected


def short_run(folder, seconds, step_times):
    claim = claims.take(folder, 0)
    (folder / "results.jsonl").write_text(
        "".join(json.dumps({"step_time": time}) + "\n" for time in step_times)
    )
    claim.finish(DONE)
    content = json.loads(claim.path.read_text())
    content["since"], content["end"]["at"] = 0.0, seconds
    claim.path.write_text(json.dumps(content))


def test_cost_is_taken_apart(tmp_path):
    """3 s to start, 0.5 s an evaluation, 0.1 s a step but for the first, of 6 steps."""
    short_run(tmp_path / "often", 3 + 6 * 0.5 + 6 * 0.1, [0.9, 0.1, 0.1, 0.1, 0.1, 0.1])
    short_run(tmp_path / "seldom", 3 + 2 * 0.5 + 6 * 0.1, [0.1, 0.1])
    cost = planning.cost(tmp_path / "often", tmp_path / "seldom")
    assert dataclasses.astuple(cost) == pytest.approx((3.0, 0.5, 0.1))
    job = make_job({**ARGS, "checkpoint_freq": 10}, "out", 101)
    assert cost.of(job) == pytest.approx(3 + 11 * 0.5 + 101 * 0.1)


def test_the_time_falls_with_the_workers_down_to_the_longest_job():
    args = [{**ARGS, "trial_seed": seed} for seed in range(4)]
    jobs = [make_job(arg, "out", steps) for arg, steps in zip(args, (100, 100, 100, 300), strict=1)]
    found = {job: State("waiting") for job in jobs}
    found[make_job({**ARGS, "trial_seed": 9}, "out", 10**6)] = State("done")
    lines = planning.describe(found, Pace({kind_of(jobs[0]): 1.0}), {}, 3)
    assert lines[0] == "To do: 4 jobs, 600 steps."
    assert [line.split(maxsplit=1) for line in lines[2:]] == [
        ["1", "10 min 0 s"], ["2", "5 min 0 s"], ["3", "5 min 0 s"], ["4", "5 min 0 s"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    "change", [{"hparams": '{"frozen": true}'}, {"variants": ["swad"]}, {"imbalance": "Cross"}]
)
def test_networks_overrides_and_variants_have_their_own_pace(change):
    one, other = make_job(ARGS, "out", 60), make_job({**ARGS, **change}, "out", 60)
    pace = Pace({kind_of(one): 1.0})
    assert (pace.knows(one), pace.knows(other)) == (True, False)
    same = make_job({**ARGS, "hparams_seed": 3, "trial_seed": 2}, "out", 60)
    assert pace.knows(same)


def test_if_nothing_can_be_timed_it_says_so_and_keeps_what_it_names(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(planning.tempfile, "tempdir", str(tmp_path))
    flags = [
        "--datasets", "PACS", "--algorithms", "ERM", "--single_test_envs", "--n_trials", "1",
        "--n_hparams", "1", "--data_dir", str(tmp_path), "--output_dir", str(tmp_path / "out"),
    ]  # fmt: skip
    with pytest.raises(InputError, match="no job could be timed"):
        sweep.main(["plan", *flags, "--jobs", "2"])
    out = capsys.readouterr().out
    named = re.findall(r"\(see (.*)\)", out)
    assert len(named) == 2
    for folder in named:
        assert "no folder" in (Path(folder) / "err.txt").read_text()
    assert "no time for PACS ERM: no folder" in out


def test_the_command_measures_what_it_has_no_records_of(tmp_path, capsys, monkeypatch):
    flags = [
        "--datasets", "Debug28", "PACS", "--algorithms", "ERM", "--single_test_envs", "--n_trials",
        "1", "--n_hparams", "1", "--hparams", '{"batch_size": 2}', "--steps", "100",
        "--data_dir", str(tmp_path), "--output_dir", str(tmp_path / "out"),
    ]  # fmt: skip
    monkeypatch.setattr(planning.tempfile, "tempdir", str(tmp_path))
    assert sweep.main(["plan", *flags, "--jobs", "2"]) == 0
    (left,) = tmp_path.glob("ndcl-plan-*")
    assert len(list(left.iterdir())) == 2  # those of PACS
    out = capsys.readouterr().out
    assert "7 jobs: 0 done, 0 running, 0 failed, 7 waiting." in out
    assert "To do: 7 jobs, 700 steps." in out
    assert 'no time for PACS ERM {"batch_size": 2}: no folder' in out
    assert "The times below are for the 3 jobs that could be timed." in out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "gpus", "slots"),
    [
        (["--command_launcher", "multi_gpu"], 2, [{VISIBLE: "0"}, {VISIBLE: "1"}]),
        (["--command_launcher", "local"], 0, [{}] * cores()),
        (["--command_launcher", "local", "--device", "cpu"], 1, [{}] * cores()),
        (["--command_launcher", "local"], 1, [{}]),  # jobs would share its memory
        (["--command_launcher", "local", "--jobs", "3"], 1, [{}] * 3),
        (["--command_launcher", "slurm", "--jobs", "100"], 0, [{}] * cores()),  # a login node
    ],
)
def test_jobs_are_timed_in_the_launchers_slots(tmp_path, monkeypatch, flags, gpus, slots):
    seen = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setattr(planning, "run_jobs", lambda _jobs, slots, *_, **__: seen.extend(slots))
    of_sweep = [
        "--datasets", "Debug28", "--algorithms", "ERM", "--single_test_envs", "--n_trials", "1",
        "--n_hparams", "1", "--data_dir", "d", "--output_dir", str(tmp_path / "out"),
    ]  # fmt: skip
    with pytest.raises(InputError, match="no job could be timed"):
        sweep.main(["plan", *of_sweep, *flags])
    assert seen == slots
