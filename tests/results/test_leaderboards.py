"""Golden tables of a sweep that is small enough to work out by hand."""

import pytest

from ndcl_domainbed.results import read_sweep, summary
from ndcl_domainbed.results.cells import iterate_cells
from ndcl_domainbed.results.formats import render
from ndcl_domainbed.results.leaderboards import build
from ndcl_domainbed.results.tables import LOST, NO_CLASS, NO_PAIR, NO_TRIAL
from tests.results.builder import random_sweep, record, write_run

SPLIT = {
    "environments": ["north", "south"],
    "classes": ["a", "b", "c"],
    "train_counts": {},
    "thresholds": {"many": 20, "few": 5},
    "shots": ["many", "medium", "few"],
}


def imbalanced(root, name, target, *steps, algorithm="ERM", trial=0, draw=0, done=True, **more):
    """Write a run of (validation, overall, many, medium, few, by class) per step."""
    records = []
    for step, (val, overall, many, medium, few, per_class) in enumerate(steps):
        source = 1 - target
        made = record(
            step,
            {f"{target}_in": overall, f"{target}_out": 0, f"{source}_in": 1, f"{source}_out": 0.5}
            | {f"{source}_val": val},
            test_envs=[target], algorithm=algorithm, trial_seed=trial, hparams_seed=draw,
            dataset="mine", imbalance="Cross", class_acc={f"env{target}_in": per_class},
        )  # fmt: skip
        made |= {f"env{target}_in_0many": many, f"env{target}_in_1median": medium}
        made |= {f"env{target}_in_2few": few, f"env{target}_in_3zero": None}
        records.append(made)
    write_run(root / name, records, done=done, split=SPLIT, **more)


@pytest.fixture
def by_hand(tmp_path):
    # target north, trial 0: step 1 of draw 0 (val 0.8); trial 1: draw 1 (val 0.6)
    imbalanced(
        tmp_path, "a", 0, (0.5, 0.9, 1, 1, 1, [1, 1, 1]), (0.8, 0.5, 0.9, 0.5, 0.1, [0.9, 0.5, 0.1])
    )
    imbalanced(tmp_path, "b", 0, (0.7, 0.1, 0, 0, 0, [0, 0, 0]), draw=1)
    imbalanced(tmp_path, "c", 0, (0.4, 0.2, 0, 0, 0, [0, 0, 0]), trial=1)
    imbalanced(tmp_path, "d", 0, (0.6, 0.7, 0.7, 0.9, 0.5, [0.7, 0.9, 0.5]), trial=1, draw=1)
    # target south: no Few class occurs in trial 1
    imbalanced(tmp_path, "e", 1, (0.5, 0.3, 0.5, 0.3, 0.1, [0.5, 0.3, 0.1]))
    imbalanced(tmp_path, "f", 1, (0.5, 0.5, 0.5, 0.5, None, [0.5, 0.5, None]), trial=1)
    imbalanced(tmp_path, "g", 0, (0.5, 0.6, 0.6, 0.6, 0.6, [0.6, 0.6, 0.6]), algorithm="NDCL")
    imbalanced(
        tmp_path, "h", 1, (0.5, 0.6, 0.6, 0.6, 0.6, [0.6, 0.6, 0.6]), algorithm="NDCL",
        done=False, err="error: loss became nan at step 7.\n",
    )  # fmt: skip
    return tmp_path


def text(root, criteria, **options) -> list[str]:
    tables = [table for one in build(read_sweep(root), criteria, **options) for table in one.tables]
    return [" ".join(line.split()) for line in render("text", [], tables).splitlines() if line]


def test_the_balanced_leaderboard_worked_out_by_hand(by_hand):
    about = (
        "Dataset: mine, imbalance: Cross, model selection method: balanced validation set of the "
        "training domains"
    )
    # north: mean of 50 and 70, error 10 / sqrt(2); south: mean of 30 and 50
    # measures of a trial: Many (90 + 50) / 2 and (70 + 50) / 2; Few (10 + 10) / 2 and 50
    # balanced: (50 + 30) / 2 and (70 + 50) / 2; worst (10 + 10) / 2 and (50 + 50) / 2
    assert text(by_hand, ["balanced"]) == [
        f"-------- {about}",
        "Algorithm north south Avg",
        "ERM 60.0 +/- 7.1 40.0 +/- 7.1 50.0",
        "NDCL 60.0 (n=1) X X",
        "X under south for NDCL: 1 run failed (loss became nan at step 7.)",
        f"X under Avg for NDCL: {NO_TRIAL}",
        f"-------- {about}, measures: shot groups",
        "(Mean over the test domains north, south)",
        "(Training images of a class, mean over source domains: Many > 20, Few < 5)",
        "Algorithm Overall Many Medium Few Balanced Worst class",
        "ERM 50.0 +/- 7.1 65.0 +/- 3.5 55.0 +/- 10.6 30.0 +/- 14.1 50.0 +/- 7.1 30.0 +/- 14.1",
        "NDCL X X X X X X",
        f"X under Overall, Many, Medium, Few, Balanced, Worst class for NDCL: {NO_TRIAL}",
        "-------- Averages, imbalance: Cross, model selection method: balanced validation set of "
        "the training domains",
        "Algorithm mine Avg",
        "ERM 50.0 +/- 7.1 50.0",
        "NDCL X X",
        f"X under mine for NDCL: {NO_TRIAL}",
        "X under Avg for NDCL: a figure of the row is missing",
    ]


def test_asked_measures_have_tables_by_domain(by_hand):
    lines = text(by_hand, ["balanced"], metrics=["few", "worst"])
    tables = [line for line in lines if line.startswith("--------")]
    assert [line.rpartition("measure: ")[2] for line in tables if "measure: " in line] == [
        "Few", "Worst class", "Few", "Worst class",
    ]  # fmt: skip
    assert "ERM 30.0 +/- 14.1 10.0 (n=1) 30.0" in lines
    assert "Algorithm Few Worst class" in lines


def test_a_criterion_that_nothing_allows_says_what_it_needs(by_hand):
    lines = text(by_hand, ["leave_one_out"])
    assert len([line for line in lines if line.startswith("--------")]) == 1
    assert any("pair of test domains" in line for line in lines)


def test_reasons_tell_the_cases_apart(tmp_path):
    random_sweep(
        tmp_path,
        algorithms=["ERM", "IRM", "CORAL", "MMD"],
        draws=1,
        trials=1,
        n_envs=3,
        dataset="mine",
    )
    runs = read_sweep(tmp_path).runs
    folders = {(a, e): run for a, e, run in runs[["algorithm", "test_envs", "run"]].to_numpy()}
    for algorithm, envs in (("IRM", "0"), ("CORAL", "0 1")):
        (tmp_path / folders[algorithm, envs] / "done").unlink()
    for path in (tmp_path / folders["MMD", "0"]).iterdir():
        path.unlink()
    (built,) = build(read_sweep(tmp_path), ["leave_one_out"])
    reasons = built.tables[0].reasons()
    assert reasons["1 run unfinished"] == [("IRM", "env0")]
    assert reasons["no finished run with the pair of test domains env0+env1"] == [("CORAL", "env0")]
    assert reasons["no finished run with the pair of test domains env1+env0"] == [("CORAL", "env1")]
    assert reasons["no run with this test domain alone"] == [("MMD", "env0")]


def test_reasons_stand_below_the_measures_and_the_averages_too(tmp_path):
    figures = (0.5, 0.5, 0.5, 0.5, 0.5, [0.5] * 3)
    for target in (0, 1):
        imbalanced(tmp_path, f"erm{target}", target, figures)
        imbalanced(tmp_path, f"cut{target}", target, figures, algorithm="CORAL", done=False)
    lines = text(tmp_path, ["balanced"], metrics=["overall", "zero"])
    assert f"X under Overall for CORAL: {NO_TRIAL}" in lines
    assert f"X under north, south, Avg for ERM: {NO_CLASS}" in lines
    # the averages: of one measure nobody has a figure, and each has a reason of its own
    assert f"X under mine for ERM: {NO_CLASS}" in lines
    assert lines.count(f"X under mine for CORAL: {NO_TRIAL}") == 2


def test_averages_are_over_the_trials_that_have_every_test_domain(tmp_path):
    for algorithm in ("ERM", "NDCL"):
        for trial, target, overall in ((0, 0, 0.2), (0, 1, 0.4), (1, 1, 0.9)):
            figures = (0.5, overall, overall, overall, overall, [overall] * 3)
            name = f"{algorithm}{trial}{target}"
            imbalanced(tmp_path, name, target, figures, algorithm=algorithm, trial=trial)
    figures = (0.5, 0.95, 0.95, 0.95, 0.95, [0.95] * 3)
    imbalanced(tmp_path, "easy", 1, figures, algorithm="MMD")
    (built,) = build(read_sweep(tmp_path), ["balanced"])
    by_domain, measures, averages = built.tables
    cells = dict(averages.rows)
    assert cells["ERM"][0].mean == pytest.approx(30)
    assert cells["ERM"][0] == dict(measures.rows)["ERM"][0]
    assert (cells["ERM"][0].trials, cells["ERM"][0].error) == (1, None)
    assert cells["MMD"][0].mean is None  # it has the easier domain only
    note = "averages are without trials that lack a domain: 1 of ERM; 1 of NDCL"
    assert by_domain.notes == measures.notes == [note]
    assert averages.notes == [f"mine: {note}"]
    # one rule for every average: not the mean of 20 and (40 + 90) / 2, which the row shows
    assert [cell.mean for cell in dict(by_domain.rows)["ERM"]] == pytest.approx([20, 65, 30])
    lines = text(tmp_path, ["balanced"])
    assert "ERM 20.0 (n=1) 65.0 +/- 17.7 30.0 (n=1)" in lines


def test_averages_over_some_of_the_domains_say_so(tmp_path):
    random_sweep(tmp_path, algorithms=["ERM"], draws=1, trials=1, pairs=False)
    for path in sorted(tmp_path.iterdir())[1::2]:
        (path / "done").unlink()
    (built,) = build(read_sweep(tmp_path), ["training"])
    assert built.tables[-1].rows[0][1][0].mean is not None
    assert built.tables[0].notes == ["averages are over the test domains A, P only"]
    assert built.tables[-1].notes == ["PACS: averages are over the test domains A, P only"]


@pytest.mark.parametrize(
    ("value", "criterion"),
    [
        *((float("nan"), name) for name in ("training", "leave_one_out", "oracle", "balanced")),
        (None, "balanced"),
    ],
)
def test_an_impossible_accuracy_counts_as_missing_and_is_reported(tmp_path, value, criterion):
    """Of NDCL the target's accuracy, of MMD what the criteria look at."""
    for target in (0, 1):
        figures = (0.5, 0.5, 0.5, 0.5, 0.5, [0.5] * 3)
        imbalanced(tmp_path, f"erm{target}", target, figures)
        figures = (0.5, value if target == 1 else 0.5, 0.5, 0.5, 0.5, [0.5] * 3)
        imbalanced(tmp_path, f"ndcl{target}", target, figures, algorithm="NDCL")
    shares = {"1_in": 0.5, "1_out": value, "0_in": 1, "0_out": value, "0_val": value}
    args = {"algorithm": "MMD", "dataset": "mine", "imbalance": "Cross"}
    write_run(tmp_path / "mmd", [record(0, shares, test_envs=[1], **args)], split=SPLIT)
    sweep = read_sweep(tmp_path)
    (built,) = build(sweep, [criterion])
    cells = dict(built.tables[0].rows)
    assert criterion == "leave_one_out" or cells["ERM"][1].mean == 50
    for name in ("NDCL", "MMD"):
        assert "env_in_acc of the test domain and what the criterion needs" in cells[name][1].reason
    warnings = [line for line in summary.head(sweep) if line.startswith("Warning")]
    if value is None:
        assert warnings == []
        return
    (warning,) = warnings
    assert "2 records have an accuracy that is NaN, below 0 or above 1" in warning
    named = [line for line in summary.left_out(sweep) if "1 record has an accuracy" in line]
    assert [line.split("/")[-2] for line in named] == ["mmd", "ndcl1"]


def test_the_balanced_criterion_has_no_table_for_ordinary_runs(tmp_path):
    random_sweep(tmp_path, draws=1, trials=1, pairs=False)
    (built,) = build(read_sweep(tmp_path), ["balanced"])
    assert built.tables == []


def test_counts_are_trials_and_runs_those_of_pairs_too(by_hand, tmp_path):
    (built,) = build(read_sweep(by_hand), ["balanced"])
    cells = dict(built.tables[0].rows)["ERM"]
    assert [(cell.trials, cell.runs) for cell in cells] == [(2, 4), (2, 2), (2, 6)]
    average = dict(built.tables[2].rows)["ERM"][0]
    assert (average.trials, average.runs) == (2, 6)
    random_sweep(tmp_path / "pairs", algorithms=["ERM"], draws=2, trials=1, n_envs=3)
    (built,) = build(read_sweep(tmp_path / "pairs"), ["leave_one_out"])
    assert [cell.runs for cell in built.tables[0].rows[0][1][:3]] == [6, 6, 6]


def test_a_measure_that_no_run_has_is_no_column(by_hand):
    lines = text(by_hand, ["balanced"], metrics=["zero"])
    assert any(line.endswith("or the records lack the measure") for line in lines)
    assert not any("measures: shot groups" in line for line in lines)


def overall(root, setting, algorithm, target, trial, share):
    shares = {f"{target}_in": share, f"{1 - target}_val": 0.5}
    made = record(
        0, shares, test_envs=[target], algorithm=algorithm, trial_seed=trial, dataset="mine",
        imbalance=setting,
    )  # fmt: skip
    write_run(root / f"{setting}{algorithm}{target}{trial}", [made])


def test_what_is_lost_to_imbalance_is_a_difference_of_paired_trials(tmp_path):
    control = "Balanced:like=Cross:middle=0.5"
    for target in (0, 1):
        for trial, (under, here) in enumerate([(0.9, 0.6), (0.8, 0.7)]):
            overall(tmp_path, control, "ERM", target, trial, under + target / 10)
            overall(tmp_path, "Cross:middle=0.5", "ERM", target, trial, here)
        overall(tmp_path, "Cross:middle=0.5", "ERM", target, 2, 0.1)  # no such trial of the control
        overall(tmp_path, "Cross:middle=0.5", "NDCL", target, 0, 0.5)
        overall(tmp_path, control, "IRM", target, 0, 0.5)
    (built,) = build(read_sweep(tmp_path), ["balanced"])
    tables = {t.title["imbalance"]: t for t in built.tables if t.kind == "measures"}
    table = tables["Cross:middle=0.5"]
    assert table.columns[-1] == LOST
    rows = dict(table.rows)
    lost = rows["ERM"][-1]
    assert (lost.mean, lost.error, lost.trials) == pytest.approx(((35 + 15) / 2, 10 / 2**0.5, 2))
    assert rows["NDCL"][-1].reason == NO_PAIR
    assert any(LOST in line and control in line for line in table.head)
    assert LOST not in tables[control].columns
    (few,) = [t for t in build(read_sweep(tmp_path), ["balanced"], metrics=["few"])[0].tables
              if t.kind == "measures" and t.title["imbalance"] == "Cross:middle=0.5"]  # fmt: skip
    assert LOST not in few.columns
    page = render("markdown", [], [table])
    assert "**25.0" not in page
    ((*_, cells),) = iterate_cells([built], ["overall"])
    assert set(cells.figures.index.get_level_values("setting")) == {"Cross:middle=0.5"}
