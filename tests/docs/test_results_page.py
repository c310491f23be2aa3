"""The page of results says what the committed runs say."""

import csv
import json
import statistics
import subprocess
import sys
from pathlib import Path

import comparison
import how_many_runs
import make_results
import pandas as pd
import pytest
import studies

from tests.docs import plain_study
from tests.docs.workspaces import add_finished_sweep

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "results.md"

DIGITS = studies.DIGITS


def read_table(page, part):
    """Return the cells of a generated table, line by line: the head, the rule, the rows."""
    _, text = page.read_text(encoding="utf-8").split(f"<!-- {part} -->")
    lines = [line for line in text.split("<!-- end -->")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_tables_are_those_of_the_runs():
    runs = comparison.read_file()
    for page, parts in make_results.pages(runs, how_many_runs.Findings(runs)).items():
        text = page.read_text(encoding="utf-8")
        assert make_results.fill_in(text, parts) == text, page


def test_the_table_of_all_photographs_by_hand():
    """Every row: the mean over settings, and over those of Office-31, by plain loops."""
    lines = read_table(PAGE, "photographs all")
    shared = plain_study.shared_draws(plain_study.first_choices())
    figures = {
        measure: {
            board: plain_study.outcome(cells, (0, 1, 2), shared)
            for board, cells in plain_study.first_choices(measure=measure).items()
        }
        for measure in ("overall", "few")
    }
    assert len(lines) - 2 == len(plain_study.together(plain_study.first_choices(), (0, 1, 2)))
    for name, mean, pacs, *_, office in lines[2:]:
        for cell, dataset in ((mean, ""), (pacs, "PACS"), (office, "Office31")):
            for shown, boards in zip(
                cell.replace("*", "").split("/"), figures.values(), strict=True
            ):
                of_boards = [one[name] for board, one in boards.items() if dataset in board[0]]
                average = sum(of_boards) / len(of_boards)
                assert float(shown) == pytest.approx(average, abs=0.051), name


def test_who_wins_by_hand():
    lines = read_table(PAGE, "photographs winners")
    boards = plain_study.first_choices()
    shared = plain_study.shared_draws(boards)
    assert len(lines) - 2 == len(boards)
    for board, best, ahead, *_ in lines[2:]:
        cells = boards[tuple(board.split())]
        means = plain_study.outcome(cells, (0, 1, 2), shared)
        first, second = sorted(means, key=means.get, reverse=True)[:2]
        trials = [plain_study.outcome(cells, [trial], shared) for trial in (0, 1, 2)]
        leads = [one[first] - one[second] for one in trials]
        error = statistics.stdev(leads) / 3**0.5
        assert best == f"{first}, {means[first]:.1f}"
        assert ahead == f"{second}: {statistics.mean(leads):.1f} ± {error:.1f}"


def test_what_variants_add_by_hand():
    with (DOCS / "results" / "variants.csv").open() as file:
        runs = list(csv.DictReader(file))
    table = read_table(PAGE, "variants gains")
    assert len(runs) == 4 * (4 * 4 + 3 * 3) * 3 * 6
    assert [line[0] for line in table[2:]] == ["average", "cRT", "EMA", "LA", "SWAD"]

    def mean(name, measure, trial):
        """Over the targets of each setting, then over settings."""
        boards = {}
        for run in runs:
            if run["algorithm"] == name and int(run["trial_seed"]) == trial:
                board = boards.setdefault((run["dataset"], run["setting"]), [])
                board.append(100 * float(run[measure]))
        assert len(boards) == 7
        return statistics.mean(map(statistics.mean, boards.values()))

    for variant, *cells in table[2:]:
        for name, cell in zip(table[0][1:], cells, strict=True):
            for measure, shown in zip(("overall", "few"), cell.split("/"), strict=True):
                gaps = [mean(f"{name} + {variant}", measure, trial) - mean(name, measure, trial)
                        for trial in range(3)]  # fmt: skip
                error = statistics.stdev(gaps) / 3**0.5
                gain, shown_error = map(float, shown.split("±"))
                assert gain == pytest.approx(statistics.mean(gaps), abs=0.051)
                assert shown_error == pytest.approx(error, abs=0.051)


def test_fine_tuned_by_hand():
    """Both means of every row, and how the rankings agree, by plain loops."""
    lines = read_table(PAGE, "fine-tuned")
    with (DOCS / "results" / "fine_tuned.csv").open() as file:
        runs = list(csv.DictReader(file))
    assert len(runs) == 5 * 4
    for place, measure in enumerate(("overall", "few")):
        tuned = {
            name: statistics.mean(
                100 * float(run[measure]) for run in runs if run["algorithm"] == name
            )
            for name in {run["algorithm"] for run in runs}
        }
        board = plain_study.first_choices(measure=measure)["PACS", "TotalHeavyTail"]
        defaults = {trial: {0} for trial in range(3)}
        frozen = plain_study.outcome(board, (0, 1, 2), defaults)
        assert len(lines) - 2 == len(tuned)
        for name, *cells in lines[2:]:
            shown = [float(cell.split("/")[place]) for cell in cells]
            by_target = {int(run["test_env"]): run for run in runs if run["algorithm"] == name}
            wanted = [100 * float(by_target[target][measure]) for target in range(4)]
            assert shown == pytest.approx([tuned[name], *wanted, frozen[name]], abs=0.051), name
        tau = plain_study.kendall(tuned, frozen)
        said = f"{tau:+.2f} {'overall' if measure == 'overall' else 'on Few'}"
        assert said in PAGE.read_text(encoding="utf-8")


def test_each_run_of_digits_is_there_once_and_only_whole_trials_are_shown():
    rows = DIGITS.runs()
    assert not rows.duplicated(studies.RUN).any()
    assert {tuple(row) for row in rows[studies.RUN].itertuples(index=False)} <= set(DIGITS.jobs)
    measures = rows[list(studies.MEASURES)]
    assert ((measures >= 0) & (measures <= 1) | measures.isna()).to_numpy().all()
    assert measures["overall"].notna().all()
    shown = DIGITS.whole_trials(rows)
    for dataset, setting, here in studies.iterate_boards(shown):
        wanted = [key for key in DIGITS.jobs if key[:2] == (dataset, setting) and key[4] == 0]
        assert set(here.groupby("trial_seed").size()) == {len(wanted)}


def test_imported_runs_replace_those_in_the_file(tmp_path, monkeypatch):
    add_finished_sweep(tmp_path)
    machines, study = tmp_path / "results" / "machine.json", studies.Study("digits")
    machines.parent.mkdir()
    assert len(study.jobs) == 1116  # known before its folder is another one
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
    if studies.read_machines().get("digits") != studies.this_machine():
        pytest.skip("the runs of docs/results/digits.csv were made on another kind of machine")
    outcome = subprocess.run(
        [sys.executable, DOCS / "rerun_results.py", "--data_dir", digits_root, "--runs", "1",
         "--algorithm", "ERM"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert outcome.stdout.endswith("1 of 1 runs came out the same.\n")
