"""Against SciPy used another way, worked examples, and properties."""

import math
import sys
from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from imbalance_splits.errors import InputError
from ndcl_domainbed.results import cells, read_sweep, statistics, statistics_tables
from ndcl_domainbed.results.cells import CELL, Cells, build_cells, image_groups, iterate_cells
from ndcl_domainbed.results.formats import render
from ndcl_domainbed.results.leaderboards import build
from tests.results.builder import random_sweep


def figures(n_cells=12, names=("ERM", "MMD", "NDCL"), seed=0, lead=0.0) -> pd.DataFrame:
    values = np.random.RandomState(seed).uniform(40, 60, (n_cells, len(names)))
    frame = pd.DataFrame(values, columns=list(names))
    return frame.assign(NDCL=frame["NDCL"] + lead) if "NDCL" in frame else frame


def cells_of(frame: pd.DataFrame, trials=1, dataset="own", per_target=1) -> Cells:
    """Return cells with the rows of ``frame`` as runs, ``trials`` of them to a cell."""
    rows = [
        (dataset, f"S{row // trials % per_target}", row // trials // per_target, row % trials)
        for row in range(len(frame))
    ]
    return Cells(frame.set_axis(pd.MultiIndex.from_tuples(rows, names=[*CELL, "trial_seed"])))


def compare(frame: pd.DataFrame, reference="NDCL") -> list[statistics.Comparison]:
    return statistics.compare(cells_of(frame), reference)


def test_ranks_share_ties_and_one_is_best():
    frame = pd.DataFrame({"A": [3.0, 1.0], "B": [2.0, 1.0], "C": [1.0, 0.0]})
    assert statistics.average_ranks(frame).to_dict() == {"A": 1.25, "B": 1.75, "C": 3.0}


def test_figures_that_differ_by_rounding_alone_are_ties():
    added, other = [100 * np.mean(shares) for shares in ([0.1, 0.2, 0.3], [0.3, 0.2, 0.1])]
    assert added > other
    frame = pd.DataFrame({"ERM": [other, 1.0], "NDCL": [added, 2.0], "MMD": [0.5, 0.5]})
    assert statistics.average_ranks(frame).to_dict() == {"ERM": 1.75, "NDCL": 1.25, "MMD": 3.0}
    erm, _ = compare(frame)
    assert (erm.wins, erm.losses) == (1, 0)
    assert erm.better.value == 0.75


def test_the_test_of_a_pair_is_exact_and_safe_with_ties():
    signs = np.array(np.meshgrid(*[[-1, 1]] * 5)).reshape(5, -1)
    tied = ([0.1 + 0.2, -0.3, 0.5, 0.6, 0.7], [1.5, 1.5, 3, 4, 5])
    for differences, ranks in [([0.1, -0.2, 0.5, 0.6, 0.7], [1, 2, 3, 4, 5]), tied]:
        frame = pd.DataFrame({"ERM": 0.0, "NDCL": differences})
        p = cells.pairwise_p(frame).loc["ERM", "NDCL"]
        wanted = np.mean(np.abs(signs.T @ ranks) >= abs(np.sign(differences) @ ranks))
        assert p >= wanted - 1e-12
        assert p == pytest.approx(wanted) or 1.5 in ranks


def test_the_matrix_holds_every_pair_after_holms_correction():
    frame = figures(20, ("A", "B", "C", "D")).assign(A=lambda f: f["A"] + 9)
    found = cells.pairwise_p(frame)
    pairs = [(one, other) for at, one in enumerate("ABCD") for other in "ABCD"[at + 1 :]]
    raw = [stats.wilcoxon(frame[one], frame[other]).pvalue for one, other in pairs]
    so_far = 0.0
    for step, at in enumerate(np.argsort(raw)):
        so_far = max(so_far, min(1.0, raw[at] * (len(raw) - step)))
        assert found.loc[pairs[at]] == pytest.approx(so_far)
        assert found.loc[pairs[at][::-1]] == found.loc[pairs[at]]


def test_without_the_package_of_the_tests_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scikit_posthocs", None)
    with pytest.raises(InputError, match=r"pip install 'ndcl-domainbed\[report\]'"):
        cells.pairwise_p(figures())


def test_a_clear_lead_is_found_and_none_is_not():
    (erm, mmd) = compare(figures(15, lead=30.0))
    assert (erm.algorithm, mmd.algorithm) == ("ERM", "MMD")
    assert (erm.wins, erm.losses) == (15, 0)
    assert erm.p == pytest.approx(3 * 2 / 2**15)
    assert 0 < erm.difference.low < erm.difference.value < erm.difference.high
    assert erm.better == statistics.Estimate(1.0, 1.0, 1.0)
    (nothing, _) = compare(figures(15))
    assert nothing.p > 0.05


def test_equal_figures_are_no_difference():
    frame = pd.DataFrame({"ERM": [1.0, 2.0], "NDCL": [1.0, 2.0]})
    (one,) = compare(frame)
    assert (one.difference.value, one.better.value, one.p) == (0, 0.5, 1)
    assert (one.wins, one.losses) == (0, 0)


def test_the_interval_of_independent_cells_is_scipys():
    frame = figures(60, lead=3.0)
    gaps = (frame["NDCL"] - frame["ERM"]).to_numpy()
    wanted = stats.bootstrap((gaps,), np.mean, method="percentile").confidence_interval
    (found, _) = compare(frame)
    assert (found.difference.low, found.difference.high) == pytest.approx(wanted, abs=0.25)
    assert compare(frame)[0] == found


def test_cells_of_one_target_are_drawn_together():
    one = figures(12)
    four = pd.DataFrame(np.repeat(one.to_numpy(), 4, axis=0), columns=one.columns)
    alone = statistics.summarize(cells_of(one))
    together = statistics.summarize(cells_of(four, per_target=4))
    apart = statistics.summarize(cells_of(four))
    for name in range(3):  # four copies of a cell know no more than the cell
        assert astuple(together[name].mean) == pytest.approx(astuple(alone[name].mean))
        wide, narrow = (ends[name].mean.high - ends[name].mean.low for ends in (together, apart))
        assert 1.5 * narrow < wide
    counts = cells.draw_cells(cells_of(four, per_target=4).figures.index)
    assert (counts.reshape(len(counts), 12, 4) == counts[:, ::4, None]).all()


def test_strata_are_datasets_and_offices_share_their_images():
    index = pd.MultiIndex.from_tuples(
        [("PACS [frozen x]", "Cross", 0), ("PACS [frozen x]", "GINIDG", 0),
         ("PACS [frozen x]", "Cross", 1), ("Office31", "Cross", 0), ("Office31", "Cross", 2),
         ("OfficeCaltech10", "Cross", 0), ("OfficeCaltech10", "Cross", 1)]
    )  # fmt: skip
    datasets, groups = image_groups(index)
    assert datasets.tolist() == ["PACS"] * 3 + ["Office"] * 4
    assert groups.tolist() == ["PACS/A", "PACS/A", "PACS/C", "Office/A", "Office/W",
                               "Office/A", "Office/C"]  # fmt: skip
    counts = cells.draw_cells(index)
    assert (counts[:, 0] == counts[:, 1]).all()
    assert (counts[:, 3] == counts[:, 5]).all()
    assert (counts[:, [0, 2]].sum(axis=1) == 2).all()  # every resample keeps both datasets
    assert (counts[:, [3, 4, 6]].sum(axis=1) == 3).all()


def test_a_dataset_of_one_target_has_no_interval():
    found = statistics.summarize(cells_of(figures(4), per_target=4))
    assert all(math.isnan(end) for one in found for end in (one.mean.low, one.iqm.high))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 4)), min_size=1, max_size=30))
def test_the_interquartile_mean_is_scipys_of_the_repeated_values(pairs):
    values, counts = (np.array(column) for column in zip(*pairs, strict=True))
    if counts.sum():
        (found,) = statistics.interquartile_mean(values.astype(float), counts[None])
        assert found == pytest.approx(stats.trim_mean(np.repeat(values, counts), 0.25))


def test_improvement_is_mann_whitneys_u_over_the_pairs():
    rng = np.random.RandomState(0)
    runs = pd.DataFrame(rng.randint(0, 6, (12, 2)), columns=["ERM", "NDCL"]).astype(float)
    runs.loc[3, "ERM"] = np.nan  # a trial that one of the two lacks
    found = statistics.improvement(cells_of(runs, trials=4).runs, "NDCL")
    for cell in range(3):
        block = runs.iloc[4 * cell : 4 * cell + 4]
        others = block["ERM"].dropna()
        u = stats.mannwhitneyu(block["NDCL"], others).statistic
        assert found["ERM"].iloc[cell] == pytest.approx(u / (4 * len(others)))
        assert found["NDCL"].iloc[cell] == 0.5


def test_of_runs_that_train_on_one_domain_the_cells_are_of_sources():
    found = cells_of(pd.DataFrame({"ERM": [10.0, 30.0], "NDCL": [50.0, 20.0]}))
    found = Cells(found.runs, network="single source")
    assert statistics_tables.describe_cells(found) == (
        "Over 2 cells (dataset, setting, source domain) of 2 source domains"
    )
    warnings = statistics_tables.warn_of_few_cells(found)
    assert any("intervals are too narrow" in line for line in warnings)


def test_the_profile_by_hand():
    runs = pd.DataFrame({"ERM": [10.0, 30.0, 30.0, np.nan], "NDCL": [50.0, 50.0, 100 * 0.2, 40.0]})
    runs.loc[2, "NDCL"] += 1e-14  # a figure of 20 by rounding
    found = statistics.performance_profile(cells_of(runs, trials=2).runs, [0, 20, 30, 45])
    assert found["ERM"].tolist() == [1.0, (0.5 + 1) / 2, 0.0, 0.0]
    assert found["NDCL"].tolist() == [1.0, (1 + 0.5) / 2, (1 + 0.5) / 2, 0.5]


def test_a_measure_that_nobody_has_gives_no_cells(tmp_path):
    random_sweep(tmp_path, algorithms=["ERM", "NDCL"], draws=1, trials=1, pairs=False)
    built = build(read_sweep(tmp_path), ["training", "oracle"])
    found = [(criterion, metric) for criterion, metric, _ in
             iterate_cells(built, ["overall", "few"])]  # fmt: skip
    assert found == [("training", "overall"), ("oracle", "overall")]


@pytest.mark.parametrize("count", [2, 4, 22])
def test_fewer_cells_than_needed_cannot_reach_five_percent(count):
    needed, pairs = statistics.cells_needed(count), count * (count - 1) / 2
    least = [stats.wilcoxon(np.arange(1.0, n + 1)).pvalue for n in (needed - 1, needed)]
    assert least[0] * pairs > 0.05 >= least[1] * pairs


def selected(figures_: dict[str, list[float | None]]) -> pd.DataFrame:
    rows = [
        ("PACS", "none", env, algorithm, trial, value)
        for algorithm, values in figures_.items()
        for env, value in enumerate(values)
        for trial in (0, 1)
        if value is not None
    ]
    names = ["dataset", "setting", "test_env", "algorithm", "trial_seed", "overall"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.assign(overall=frame["overall"] + 0.1 * frame["trial_seed"])


def test_cells_are_means_over_trials_that_every_algorithm_has():
    cells = build_cells(
        selected({"ERM": [0.1, 0.2, 0.3], "MMD": [0.4, None, 0.6], "IRM": [0.5, None, None]})
    )
    assert list(cells.figures.columns) == ["ERM", "MMD"]
    assert cells.figures["ERM"].tolist() == pytest.approx([15, 35])
    assert cells.dropped == [
        "IRM left out: it has 1 of 3 cells",
        "1 cell left out: not every algorithm has them",
    ]


def test_cells_over_unequal_trials_say_so():
    rows = selected({"ERM": [0.1, 0.2, 0.3], "MMD": [0.4, 0.5, 0.6]})
    lacking = (rows["algorithm"] == "MMD") & (rows["test_env"] == 1) & (rows["trial_seed"] == 1)
    cells = build_cells(rows[~lacking])
    assert cells.figures["MMD"].tolist() == pytest.approx([45, 50, 65])
    assert cells.dropped == ["in 1 cell some algorithms have more trials than others"]


def test_the_table_says_when_there_are_too_few_cells(tmp_path):
    random_sweep(tmp_path, algorithms=["ERM", "NDCL"], draws=1, trials=1, pairs=False)
    built = build(read_sweep(tmp_path), ["training"])
    tables = statistics_tables.build_tables(built, ["overall"], "NDCL")
    page = render("text", [], tables)
    assert "Over 4 cells (dataset, setting, target domain) of 4 target domains" in page
    for key in ("rank", "iqm", "interval", "better", "p", "profile"):
        assert statistics_tables.MEANINGS[key] in page
    assert [table.columns[0] for table in tables] == ["Average rank", "> 10 %"]
    assert "too few cells for a claim" in page
    assert "NDCL minus row" in page
    page = render("text", [], statistics_tables.build_tables(built, ["overall"], "Mine"))
    assert "NDCL minus row" not in page
    assert "no run of Mine to compare with" in page
    assert statistics_tables.build_tables(built, ["few"], "NDCL") == []
