import hashlib
import json

import pytest

from ndcl_domainbed.results import read_sweep, summary
from ndcl_domainbed.results.leaderboards import build
from tests.results.builder import record, write_run

ARGS = {
    "dataset": "PACS",
    "algorithm": "NDCL",
    "test_envs": [1],
    "trial_seed": 0,
    "hparams_seed": 0,
    "imbalance": "Cross",
}


def listed(root, *jobs, torn=""):
    lines = [json.dumps({"steps": 10, "args": args}) for args in jobs]
    (root / "jobs.jsonl").write_text("\n".join(["", *lines, torn]))


def folder_of(root, args):
    return root / hashlib.md5(json.dumps(args, sort_keys=True).encode()).hexdigest()


def states(root) -> dict[str, tuple[str, str]]:
    runs = read_sweep(root).runs
    return {
        str(algorithm): (str(state), reason)
        for algorithm, state, reason in zip(
            runs["algorithm"], runs["state"], runs["reason"], strict=True
        )
    }


def test_a_listed_job_without_a_record_is_a_run_that_has_not_started(tmp_path):
    write_run(tmp_path / "run", [record(0, {"0_in": 0.1, "0_out": 0.1}, test_envs=[0])])
    listed(tmp_path, ARGS, ARGS, torn='{"steps": 10, "ar')
    assert states(tmp_path) == {"ERM": ("done", ""), "NDCL": ("not started", "")}
    row = read_sweep(tmp_path).runs.iloc[-1]
    assert (row["setting"], row["test_env"], row["n_envs"]) == ("Cross", 1, 0)
    assert row["run"] == str(folder_of(tmp_path, ARGS))


def test_a_listed_job_that_broke_before_its_first_record_says_why(tmp_path):
    listed(tmp_path, ARGS)
    folder = folder_of(tmp_path, ARGS)
    write_run(folder, [], done=False, err="error: no such file: cat.png\n")
    assert states(tmp_path) == {"NDCL": ("failed", "no such file: cat.png")}
    assert read_sweep(tmp_path).empty == []


def test_a_listed_job_with_records_counts_once(tmp_path):
    args = {**ARGS, "output_dir": "x"}
    write_run(tmp_path / "any", [record(0, {"1_in": 0.1, "0_out": 0.1}, **args)])
    listed(tmp_path, ARGS)
    assert states(tmp_path) == {"NDCL": ("done", "")}


def test_a_listed_job_without_a_record_counts_once_if_its_folder_is_read_twice(tmp_path):
    listed(tmp_path, ARGS)
    write_run(tmp_path / "run", [record(0, {"0_in": 0.1, "0_out": 0.1}, test_envs=[0])])
    inner = tmp_path / "inner"
    inner.mkdir()
    listed(inner, {**ARGS, "trial_seed": 1})
    sweep = read_sweep([tmp_path, inner])
    assert sweep.runs["state"].tolist() == ["done", "not started", "not started"]


def test_a_listed_job_without_a_record_is_left_out_even_if_unfinished_runs_count(tmp_path):
    full = {"0_in": 0.1, "0_out": 0.1}
    write_run(tmp_path / "run", [record(0, full, test_envs=[0])], done=False, err="error: no\n")
    listed(tmp_path, ARGS)
    write_run(folder_of(tmp_path, ARGS), [], done=False, err="error: no such file: cat.png\n")
    sweep = read_sweep(tmp_path)
    assert summary.runs_line(sweep) == "Runs: 0 done, 2 failed (left out)."
    told = summary.runs_line(sweep, partial=True)
    assert told == "Runs: 0 done, 2 failed (1 counted, 1 left out)."
    (line,) = summary.left_out(sweep, partial=True)
    assert line == f"{folder_of(tmp_path, ARGS)}: failed (no such file: cat.png)"


def test_runs_that_have_not_started_are_named_together(tmp_path):
    full = {"0_in": 0.1, "0_out": 0.1}
    folder = write_run(tmp_path / "run", [record(0, full, test_envs=[0])], done=False)
    jobs = [{**ARGS, "trial_seed": trial, "algorithm": name}
            for name in ("ERM", "NDCL") for trial in range(50)]  # fmt: skip
    ordinary = {name: value for name, value in ARGS.items() if name != "imbalance"}
    listed(tmp_path, *jobs, ordinary)
    for partial in (False, True):
        assert summary.left_out(read_sweep(tmp_path), partial=partial) == [
            "ERM on PACS under Cross: 50 runs not started",
            "NDCL on PACS under Cross: 50 runs not started",
            "NDCL on PACS: 1 run not started",
            *([] if partial else [f"{folder}: unfinished"]),
        ]


@pytest.mark.parametrize("partial", [False, True])
def test_the_reason_of_an_empty_cell_is_the_run_that_is_missing(tmp_path, partial):
    here = {"dataset": "PACS", "imbalance": "Cross"}
    full = {
        "0_in": 0.1,
        "0_out": 0.1,
        **{f"{e}_{s}": 0.1 for e in (1, 2, 3) for s in ("in", "out")},
    }
    write_run(tmp_path / "run", [record(0, full, test_envs=[0], **here)])
    listed(tmp_path, ARGS, {**ARGS, "test_envs": [0]})
    broken = {**ARGS, "test_envs": [0]}
    write_run(folder_of(tmp_path, broken), [], done=False, err="error: no such file: cat.png\n")
    (built,) = build(read_sweep(tmp_path), ["training"], partial=partial)
    reasons = built.tables[0].reasons()
    assert reasons["1 run not started"] == [("NDCL", "C")]
    assert reasons["1 run failed (no such file: cat.png)"] == [("NDCL", "A")]
