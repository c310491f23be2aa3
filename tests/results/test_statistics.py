"""Against published tables, SciPy used another way, and properties."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ndcl_domainbed.results import read_sweep, statistics
from ndcl_domainbed.results.formats import render
from ndcl_domainbed.results.leaderboards import build
from tests.results.builder import random_sweep


def figures(n_cells=12, names=("ERM", "MMD", "NDCL"), seed=0, lead=0.0) -> pd.DataFrame:
    values = np.random.RandomState(seed).uniform(40, 60, (n_cells, len(names)))
    frame = pd.DataFrame(values, columns=list(names))
    return frame.assign(NDCL=frame["NDCL"] + lead) if "NDCL" in frame else frame


def test_ranks_share_ties_and_one_is_best():
    frame = pd.DataFrame({"A": [3.0, 1.0], "B": [2.0, 1.0], "C": [1.0, 0.0]})
    assert statistics.rank(frame).ranks.to_dict() == {"A": 1.25, "B": 1.75, "C": 3.0}


def test_figures_that_differ_by_rounding_alone_are_ties():
    added, other = [100 * np.mean(shares) for shares in ([0.1, 0.2, 0.3], [0.3, 0.2, 0.1])]
    assert added > other
    frame = pd.DataFrame({"ERM": [other, 1.0], "NDCL": [added, 2.0], "MMD": [0.5, 0.5]})
    assert statistics.rank(frame).ranks.to_dict() == {"ERM": 1.75, "NDCL": 1.25, "MMD": 3.0}
    erm, _ = statistics.compare(frame, "NDCL")
    assert (erm.wins, erm.losses) == (1, 0)


def test_equal_differences_share_their_rank_in_the_paired_test():
    differences = np.array([0.1 + 0.2, -0.3, 0.5, 0.6, 0.7])
    frame = pd.DataFrame({"ERM": 0.0, "NDCL": differences})
    (one,) = statistics.compare(frame, "NDCL")
    signs = np.array(np.meshgrid(*[[-1, 1]] * 5)).reshape(5, -1)
    sums = np.abs(signs.T @ [1.5, 1.5, 3, 4, 5])
    assert one.p == pytest.approx(np.mean(sums >= 1.5 - 1.5 + 3 + 4 + 5))


@pytest.mark.parametrize(
    # the two-tailed Nemenyi test's q at 5 % in Demsar (2006), table 5a
    ("count", "q"),
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (8, 3.031), (10, 3.164)],
)
def test_the_critical_difference_is_that_of_the_published_table(count, q):
    names = [f"A{i}" for i in range(count)]
    found = statistics.rank(figures(14, names)).critical_difference
    assert found == pytest.approx(q * math.sqrt(count * (count + 1) / (6 * 14)), rel=3e-4)


def test_friedman_is_the_formula_of_the_ranks():
    frame = figures(20, ("A", "B", "C", "D"))
    ranks = statistics.rank(frame)
    k, n = 4, 20
    chi2 = 12 * n / (k * (k + 1)) * (sum(r**2 for r in ranks.ranks) - k * (k + 1) ** 2 / 4)
    assert ranks.chi2 == pytest.approx(chi2)
    assert ranks.p == pytest.approx(stats.chi2.sf(chi2, k - 1))


def test_two_algorithms_or_ties_everywhere_have_no_friedman():
    assert math.isnan(statistics.rank(figures(9, ("A", "B"))).p)
    tied = pd.DataFrame({"A": [1.0, 2.0], "B": [1.0, 2.0], "C": [1.0, 2.0]})
    assert math.isnan(statistics.rank(tied).p)


def test_holm_on_a_worked_example():
    # sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1 gives 0.04, 0.06, 0.06, 0.06
    assert statistics.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]
    assert statistics.holm([]) == []


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_only_raises(p):
    corrected = statistics.holm(p)
    assert all(0 <= one <= two <= 1 for one, two in zip(p, corrected, strict=True))
    pairs = sorted(zip(p, corrected, strict=True))
    assert [two for _, two in pairs] == sorted(corrected)


def test_a_clear_lead_is_found_and_none_is_not():
    (erm, mmd) = statistics.compare(figures(15, lead=30.0), "NDCL")
    assert (erm.algorithm, mmd.algorithm) == ("ERM", "MMD")
    assert (erm.wins, erm.losses) == (15, 0)
    assert erm.p == pytest.approx(2 / 2**15)
    assert erm.p_holm == pytest.approx(4 / 2**15)
    assert erm.low < erm.difference < erm.high
    assert erm.low > 0
    (nothing, _) = statistics.compare(figures(15), "NDCL")
    assert nothing.p_holm > 0.05


def test_a_measure_that_nobody_has_gives_no_cells(tmp_path):
    random_sweep(tmp_path, algorithms=["ERM", "NDCL"], draws=1, trials=1, pairs=False)
    built = build(read_sweep(tmp_path), ["training", "oracle"])
    found = [(criterion, metric) for criterion, metric, _ in
             statistics.iterate_cells(built, ["overall", "few"])]  # fmt: skip
    assert found == [("training", "overall"), ("oracle", "overall")]


def test_equal_figures_are_no_difference():
    frame = pd.DataFrame({"ERM": [1.0, 2.0], "NDCL": [1.0, 2.0]})
    (one,) = statistics.compare(frame, "NDCL")
    assert (one.difference, one.p, one.wins, one.losses) == (0, 1, 0, 0)


def test_the_bootstrap_interval_is_that_of_the_mean():
    values = np.random.RandomState(0).normal(3, 2, 400)
    low, high = statistics.bootstrap_interval(values)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)
    assert statistics.bootstrap_interval(values) == (low, high)
    assert all(math.isnan(end) for end in statistics.bootstrap_interval(values[:1]))


@pytest.mark.parametrize("n_others", [1, 3, 21])
def test_fewer_cells_than_needed_cannot_reach_five_percent(n_others):
    needed = statistics.cells_needed(n_others)
    least = [stats.wilcoxon(np.arange(1.0, n + 1)).pvalue for n in (needed - 1, needed)]
    assert least[0] * n_others > 0.05 >= least[1] * n_others


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
    cells = statistics.build_cells(
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
    cells = statistics.build_cells(rows[~lacking])
    assert cells.figures["MMD"].tolist() == pytest.approx([45, 50, 65])
    assert cells.dropped == ["in 1 cell some algorithms have more trials than others"]


def test_the_table_says_when_there_are_too_few_cells(tmp_path):
    random_sweep(tmp_path, algorithms=["ERM", "NDCL"], draws=1, trials=1, pairs=False)
    built = build(read_sweep(tmp_path), ["training"])
    (table,) = statistics.build_tables(built, ["overall"], "NDCL")
    page = render("text", [], [table])
    assert "Over 4 cells" in page
    assert "too few cells for a claim" in page
    assert "NDCL minus it" in page
    (table,) = statistics.build_tables(built, ["overall"], "Mine")
    page = render("text", [], [table])
    assert "NDCL minus it" not in page
    assert "no run of Mine to compare with" in page
    assert statistics.build_tables(built, ["few"], "NDCL") == []
