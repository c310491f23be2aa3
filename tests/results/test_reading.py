import math

import pytest

from imbalance_splits.errors import InputError
from ndcl_domainbed.results import load, read_sweep
from tests.imbalance_splits.stand_ins import forbid_listing
from tests.results.builder import record, write_run

SHARES = {"0_in": 0.25, "0_out": 0.5, "1_in": 1.0, "1_out": 0.75}


def test_several_folders_at_any_depth_and_each_run_once(tmp_path):
    write_run(tmp_path / "x" / "deep" / "a", [record(0, SHARES, test_envs=[0])])
    write_run(tmp_path / "y", [record(0, SHARES, test_envs=[0])])
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "latest").symlink_to("x")
    assert len(load(tmp_path)) == 2
    assert len(load([tmp_path / "x", tmp_path / "y"])) == 2
    assert len(load([tmp_path, tmp_path / "x"])) == 2


def test_data_sets_with_different_numbers_of_domains(tmp_path):
    write_run(tmp_path / "a", [record(0, SHARES, test_envs=[0])])
    more = {**SHARES, "2_in": 0.1, "2_out": 0.2}
    write_run(tmp_path / "b", [record(0, more, test_envs=[2], dataset="Debug28")])
    frame = load(tmp_path)
    assert frame["n_envs"].tolist() == [2, 3]
    assert math.isnan(frame["env2_in_acc"][0])
    assert frame["overall"].tolist() == [0.25, 0.1]


def test_damage_is_counted_and_stops_nothing(tmp_path):
    write_run(tmp_path / "good", [record(0, SHARES, test_envs=[0])])
    write_run(tmp_path / "torn", [record(0, SHARES, test_envs=[0])], tail='{"step": 1', done=False)
    write_run(
        tmp_path / "failed", [], done=False, err="Traceback (most recent call last):\n  x\nE: y"
    )
    crashed = write_run(
        tmp_path / "crashed",
        [record(0, SHARES, test_envs=[0])],
        done=False,
        err="Traceback (most recent call last):\n  File x\nValueError: the loss is NaN\n",
    )
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "out.txt").write_text("")
    (tmp_path / "note.txt").write_text("not a run")
    sweep = read_sweep(tmp_path)
    assert len(sweep.records) == 3
    assert sweep.bad_lines == {str(tmp_path / "torn" / "results.jsonl"): 1}
    assert sweep.empty == [str(tmp_path / "failed"), str(tmp_path / "nothing")]
    states = dict(zip(sweep.runs["run"], sweep.runs["state"], strict=True))
    assert states[str(tmp_path / "good")] == "done"
    assert states[str(tmp_path / "torn")] == "unfinished"
    assert states[str(crashed)] == "failed"
    reason = sweep.runs.set_index("run")["reason"][str(crashed)]
    assert reason == "ValueError: the loss is NaN"


def test_folders_that_cannot_be_read_are_errors_in_plain_words(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load(tmp_path / "missing")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is not a folder"):
        load(tmp_path / "file")
    with pytest.raises(InputError, match=r"no results\.jsonl under"):
        load(tmp_path)


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    write_run(tmp_path / "a", [record(0, SHARES, test_envs=[0])])
    (tmp_path / "closed").mkdir()
    forbid_listing(monkeypatch, tmp_path / "closed")
    sweep = read_sweep(tmp_path)
    assert len(sweep.records) == 1
    assert sweep.empty == [str(tmp_path / "closed")]


def test_a_part_of_a_sweep_keeps_its_records(tmp_path):
    for number, name in enumerate(["ERM", "NDCL", "ERM"]):
        made = [record(step, SHARES, test_envs=[0], algorithm=name) for step in range(number + 1)]
        write_run(tmp_path / str(number), made)
    part = read_sweep(tmp_path).only(algorithm=["ERM"], dataset=None)
    assert part.runs["run"].tolist() == [str(tmp_path / "0"), str(tmp_path / "2")]
    assert part.frame()["run"].astype(str).tolist() == [str(tmp_path / n) for n in "0222"]
    with pytest.raises(InputError, match="unknown algorithm 'NDCL'"):
        part.only(algorithm=["NDCL"])


def test_the_setting_of_records_of_the_published_implementation_is_their_type(tmp_path):
    made = record(0, {"0_in": 0.5}, test_envs=[0], type="GINIDG")
    write_run(tmp_path / "theirs", [made])
    made = record(0, {"0_in": 0.5}, test_envs=[0], type="GINIDG", imbalance="Duality")
    write_run(tmp_path / "ours", [made])
    assert sorted(load(tmp_path)["setting"]) == ["Duality", "GINIDG"]
