"""The page of results says what the committed runs say."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.command_line import call

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(DOCS / "make_results.py"))


def test_the_tables_are_those_of_the_runs(script):
    for page, parts in script["pages"](script["runs"]()).items():
        text = page.read_text(encoding="utf-8")
        assert script["filled"](text, parts) == text, page


def test_a_figure_by_hand(script):
    rows = pd.read_csv(DOCS / "results" / "digits.csv")
    ours = script["complete"](rows).query(
        "setting == 'TotalHeavyTail' and algorithm == 'ERM' and test_env == 2"
    )
    _, table = (DOCS / "results.md").read_text(encoding="utf-8").split("## TotalHeavyTail")
    shown = next(line for line in table.splitlines() if line.startswith("| ERM"))
    assert f"{100 * ours['overall'].mean():.1f}" in shown.split("|")[4]


def test_each_run_is_there_once_and_only_whole_settings_are_shown(script):
    rows = pd.read_csv(DOCS / "results" / "digits.csv")
    assert not rows.duplicated(script["RUN"]).any()
    measures = rows[list(script["MEASURES"])]
    assert ((measures >= 0) & (measures <= 1)).to_numpy().all()
    shown = script["complete"](rows)
    assert set(shown.groupby(["setting", "trial_seed"]).size()) == {22 * 4}


def test_runs_of_a_sweep_are_taken_and_replace_those_there(script, digits_root, tmp_path):
    outcome = call(
        "sweep", "launch", "--algorithms", "ERM", "--datasets", "DigitsDG", "--imbalance", "Cross",
        "--single_test_envs", "--n_hparams", 1, "--n_trials", 1, "--steps", 1, "--data_dir",
        digits_root, "--output_dir", tmp_path / "sweep", "--skip_confirmation",
    )  # fmt: skip
    assert outcome.status == 0, outcome.out
    take, file, machine = script["take"], tmp_path / "digits.csv", tmp_path / "machine.json"
    take.__globals__.update(FILE=file, MACHINE=machine)
    for _ in range(2):
        take(tmp_path / "sweep")
        rows = pd.read_csv(file)
        assert rows["test_env"].tolist() == [0, 1, 2, 3]
        assert set(rows["algorithm"]) == {"ERM"}
    pd.concat([rows, rows.assign(algorithm="IRM")]).to_csv(file, index=False)
    take(tmp_path / "sweep")
    assert set(pd.read_csv(file)["algorithm"]) == {"ERM", "IRM"}
    machine.write_text('{"CPU": "another one"}')
    take(tmp_path / "sweep")  # what was made there does not mix with what was made here
    assert set(pd.read_csv(file)["algorithm"]) == {"ERM"}
    assert json.loads(machine.read_text()) == script["this_machine"]()


def test_a_committed_run_comes_out_again(digits_root):
    outcome = subprocess.run(
        [sys.executable, DOCS / "rerun_results.py", "--data_dir", digits_root, "--runs", "1",
         "--algorithm", "ERM"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    if "another machine" in outcome.stdout:
        pytest.skip("the runs of docs/results/digits.csv were made on another kind of machine")
    assert outcome.stdout.endswith("1 of 1 runs came out the same.\n")
