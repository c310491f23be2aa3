"""The other two commands on results."""

import pandas as pd
import pytest

from imbalance_splits.errors import InputError
from ndcl_domainbed.scripts import export_results, list_top_hparams
from tests.command_line import call
from tests.results.builder import random_sweep, record, write_run


def listed(capsys, root, *more) -> list[str]:
    flags = ["--input_dir", str(root), "--dataset", "PACS", "--algorithm", "ERM", "--test_env", "0"]
    assert list_top_hparams.main([*flags, *more]) == 0
    return [line.strip() for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def root(tmp_path):
    for draw, score in enumerate([0.5, 0.7, 0.6]):
        shares = {"0_in": 0.2, "0_out": 0.3, "1_in": 0.4, "1_out": score}
        made = record(5, shares, test_envs=[0], hparams_seed=draw, hparams={"lr": draw / 10})
        write_run(tmp_path / f"run{draw}", [made])
    return tmp_path


def test_draws_are_listed_best_first_with_their_folders(capsys, root):
    lines = listed(capsys, root, "--selection", "training")
    assert lines[:3] == [
        "Total records: 3",
        "Model selection: training-domain validation set",
        "trial_seed: 0",
    ]
    assert [line for line in lines if line.startswith("val_acc")] == [
        "val_acc: 0.7000, test_acc: 0.2000, step: 5",
        "val_acc: 0.6000, test_acc: 0.2000, step: 5",
        "val_acc: 0.5000, test_acc: 0.2000, step: 5",
    ]
    assert [line for line in lines if line.startswith("lr")] == ["lr: 0.1", "lr: 0.2", "lr: 0.0"]
    assert f"output_dir: {root / 'run1'}" in lines


def test_criteria_that_do_not_apply_are_listed_only_if_asked(capsys, root):
    titles = [line for line in listed(capsys, root) if line.startswith("Model selection")]
    assert len(titles) == 2
    assert "no run that the criterion applies to" in listed(
        capsys, root, "--selection", "leave_one_out"
    )


def test_runs_that_are_not_done_are_told_of(capsys, root):
    for path in root.glob("run*/done"):
        path.unlink()
    assert listed(capsys, root)[-1].startswith("no run that any criterion applies to; --partial")
    assert any(line.startswith("val_acc") for line in listed(capsys, root, "--partial"))


def test_bad_requests_are_errors_in_plain_words(capsys, root):
    for flags, message in (
        (["--selection", "orcale"], "did you mean 'oracle'"),
        (["--top", "0"], "--top must be at least 1"),
        (["--imbalance", "Cross"], "unknown setting 'Cross'"),
        (["--test_env", "1"], "no run has the test domain env1 alone; there are: env0"),
        (["--test_env", "3"], "PACS has no domain 3; its domains are 0"),
    ):
        with pytest.raises(InputError, match=message):
            listed(capsys, root, *flags)
    shares = {"0_in": 0.2, "0_out": 0.3, "1_in": 0.4, "1_out": 0.1}
    write_run(root / "other", [record(5, shares, test_envs=[0], imbalance="Cross")])
    with pytest.raises(InputError, match="choose one with --imbalance: Cross, none"):
        listed(capsys, root)


def test_variants_and_networks_are_listed_apart(capsys, root):
    shares = {"0_in": 0.9, "0_out": 0.3, "1_in": 0.4, "1_out": 0.8}
    for number, overrides in enumerate([{"lr": 1}, {"resnet18": True}]):
        made = record(5, shares, test_envs=[0], overrides=overrides, hparams={"lr": number + 1})
        write_run(root / f"other{number}", [made])
    lines = listed(capsys, root, "--selection", "training", "--top", "1")
    heads = ["ERM on PACS", "ERM (lr=1) on PACS", "ERM on PACS [resnet18]"]
    assert [line for line in lines if line.startswith("ERM")] == heads
    assert [line for line in lines if line.startswith("lr")] == ["lr: 0.1", "lr: 1.0", "lr: 2.0"]
    alone = listed(capsys, root, "--selection", "training", "--algorithm", "ERM (lr=1)")
    assert [line for line in alone if line.startswith(("ERM", "lr"))] == ["lr: 1"]
    label = "PACS [resnet18]"
    alone = listed(capsys, root, "--selection", "training", "--dataset", label)
    assert [line for line in alone if line.startswith(("ERM", "lr"))] == ["lr: 2"]


def test_export_writes_a_row_per_run_and_criterion(capsys, tmp_path):
    root = random_sweep(tmp_path / "sweep", draws=2, trials=1)
    path = tmp_path / "table.csv"
    flags = ["--input_dir", str(root), "--output", str(path)]
    assert export_results.main([*flags, "--selection", "training", "leave_one_out"]) == 0
    table = pd.read_csv(path)
    assert table["selection"].value_counts().to_dict() == {"training": 16, "leave_one_out": 16}
    assert table["chosen"].sum() == 16
    assert "hparams.lr" in table
    assert "32 rows" in capsys.readouterr().out


def test_export_refuses_a_bad_name_before_it_reads():
    with pytest.raises(InputError, match=r"\.csv or \.parquet"):
        export_results.main(["--input_dir", "/no/such/folder", "--output", "table.txt"])


SHARES = {"0_in": 0.5, "0_out": 0.5, "1_in": 0.5, "1_out": 0.5}


def _write(root, algorithm, target, draw, step_times, *, done=True):
    made = []
    for step, seconds in step_times.items():
        one = record(step, SHARES, test_envs=[target], algorithm=algorithm, hparams_seed=draw)
        made.append({**one, "step_time": seconds})
    write_run(root / f"{algorithm}{target}{draw}", made, done=done)


def test_seconds_count_every_update_and_every_draw_of_finished_runs(tmp_path):
    for draw in (0, 1):
        # one update of 5 s, then ten of 1 s, then five of 2 s
        _write(tmp_path, "ERM", 0, draw, {0: 5.0, 10: 1.0, 15: 2.0})
    _write(tmp_path, "ERM", 1, 0, {0: 5.0, 10: 3.0})
    _write(tmp_path, "ERM", 1, 1, {0: 100.0}, done=False)
    _write(tmp_path, "IRM", 0, 0, {0: 1.0, 9: 1.0})
    command = ("collect_results", "--input_dir", tmp_path, "--selection", "training")
    shown = call(*command, "--cost").out
    rows = [line.split() for line in shown.splitlines()]
    # ERM: targets of mean 25 s (two draws) and 35 s (one)
    assert ["ERM", "30.0", "1.5", "42.5"] in rows
    assert ["IRM", "10.0", "1", "10.0"] in rows
    assert "Seconds per run" not in call(*command).out
