"""The page of results says what the committed runs say."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.docs.workspaces import add_finished_sweep

DOCS = Path(__file__).parents[2] / "docs"


sys.path.insert(0, str(DOCS))
import make_results  # noqa: E402
import studies  # noqa: E402

STUDIES = list(studies.STUDIES.values())


def test_the_tables_are_those_of_the_runs():
    for page, parts in make_results.pages().items():
        text = page.read_text(encoding="utf-8")
        assert make_results.fill_in(text, parts) == text, page


def test_a_figure_by_hand():
    rows = pd.read_csv(DOCS / "results" / "digits.csv")
    ours = rows.query("setting == 'TotalHeavyTail' and algorithm == 'ERM' and test_env == 2")
    _, table = (
        (DOCS / "results.md").read_text(encoding="utf-8").split("### DigitsDG, TotalHeavyTail")
    )
    shown = next(line for line in table.splitlines() if line.startswith("| ERM"))
    assert f"{100 * ours['overall'].mean():.1f}" in shown.split("|")[4]


def test_an_average_of_the_readme_by_hand():
    rows = pd.read_csv(DOCS / "results" / "photographs.csv")
    ours = rows[rows["dataset"].str.startswith("PACS ") & (rows["algorithm"] == "NDCL")]
    by_cell = ours.groupby(["setting", "test_env"])[["overall", "few"]].mean()
    wanted = (100 * by_cell.groupby("setting").mean().mean()).round(1)
    _, table = (DOCS.parent / "README.md").read_text(encoding="utf-8").split("<!-- leaderboard -->")
    shown = next(line for line in table.splitlines() if line.startswith("| NDCL |"))
    figures = shown.split("|")[2].replace("*", "").split("/")
    assert [float(figure) for figure in figures] == pytest.approx(list(wanted), abs=0.051)


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_each_run_is_there_once_and_only_whole_trials_are_shown(study):
    rows = study.runs()
    assert not rows.duplicated(studies.RUN).any()
    assert {tuple(row) for row in rows[studies.RUN].itertuples(index=False)} <= set(study.jobs)
    measures = rows[list(studies.MEASURES)]
    assert ((measures >= 0) & (measures <= 1) | measures.isna()).to_numpy().all()
    assert measures["overall"].notna().all()
    shown = study.whole_trials(rows)
    for dataset, setting, here in study.boards(shown):
        wanted = [key for key in study.jobs if key[:2] == (dataset, setting) and key[4] == 0]
        assert set(here.groupby("trial_seed").size()) == {len(wanted)}


def test_photographs_carry_their_network_and_the_prior_is_a_row():
    rows = studies.PHOTOGRAPHS.runs()
    assert set(rows["dataset"]) == {
        f"{name} [frozen tf_efficientnet_lite0, 128 px]" for name in ("PACS", "Office31")
    }
    assert {"NDCL", "NDCL (class_prior=logit)"} <= set(rows["algorithm"])


def test_imported_runs_replace_those_in_the_file(tmp_path, monkeypatch):
    add_finished_sweep(tmp_path)
    machines, study = tmp_path / "results" / "machine.json", studies.Study("digits")
    machines.parent.mkdir()
    assert len(study.jobs) == 792  # known before its folder is another one
    monkeypatch.setattr(studies, "DOCS", tmp_path)
    monkeypatch.setattr(studies, "MACHINES", machines)
    for _ in range(2):
        study.import_runs(tmp_path / "sweep")
        rows = study.runs()
        assert len(rows) == 2 * 4 * 2  # algorithms, targets, trials
        assert set(rows["algorithm"]) == {"ERM", "NDCL"}
    pd.concat([rows, rows.head(1).assign(algorithm="IRM")]).to_csv(study.file, index=False)
    study.import_runs(tmp_path / "sweep")
    assert set(study.runs()["algorithm"]) == {"ERM", "IRM", "NDCL"}
    machines.write_text('{"digits": {"CPU": "another one"}}')
    study.import_runs(tmp_path / "sweep")  # runs of two machines do not mix
    assert set(study.runs()["algorithm"]) == {"ERM", "NDCL"}
    assert json.loads(machines.read_text()) == {"digits": studies.this_machine()}


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
