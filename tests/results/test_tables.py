import math

import numpy as np
import pandas as pd
import pytest

from ndcl_domainbed.results import tables
from ndcl_domainbed.results.tables import NO_CLASS, Cell, CellSource, over_trials


class Source(CellSource):
    """Two runs for every cell, and a fixed reason."""

    def count_runs(self, algorithm, env):
        return 2

    def reason(self, algorithm, env):
        return f"why {algorithm} {env}"


def chosen(*rows) -> pd.DataFrame:
    """Return selected records from (algorithm, env, trial, overall, few)."""
    frame = pd.DataFrame(rows, columns=["algorithm", "test_env", "trial_seed", "overall", "few"])
    return frame.assign(dataset="PACS")


def test_mean_and_standard_error_over_trials_in_percent():
    cell = over_trials([0.5, 0.6, 0.7], runs=9)
    assert cell.mean == pytest.approx(60)
    assert cell.error == pytest.approx(100 * math.sqrt(0.02 / 3) / math.sqrt(3))
    assert (cell.trials, cell.runs) == (3, 9)


def test_one_trial_has_no_spread_and_none_no_figure():
    assert (over_trials([0.25]).error, over_trials([0.25, 0.25]).error) == (None, 0)
    assert over_trials([]).mean is None


def test_an_average_needs_every_cell():
    assert tables.average([Cell(50.0, 1.0, 2), Cell(70.0, 1.0, 3)]).mean == 60
    assert tables.average([Cell(50.0, 1.0, 2), Cell()]).mean is None


def test_domain_rows_average_over_whole_trials_and_give_reasons():
    selected = chosen(("A", 0, 0, 0.5, 0.1), ("A", 0, 1, 0.7, 0.1), ("A", 1, 0, 0.2, np.nan))
    ((name, cells), (_, others)) = tables.domain_rows(selected, ["A", "B"], 2, "overall", Source())
    assert name == "A"
    assert [cell.mean for cell in cells] == [pytest.approx(60), 20, pytest.approx(35)]
    assert [cell.trials for cell in cells] == [2, 1, 1]
    assert cells[2].error is None
    assert [cell.reason for cell in others[:2]] == ["why B 0", "why B 1"]
    ((_, cells),) = tables.domain_rows(selected, ["A"], 2, "few", Source())
    assert cells[1].reason == NO_CLASS
    assert cells[2].mean == pytest.approx(10)  # a domain without such a class does not count


def test_the_average_is_the_same_in_every_table():
    rng = np.random.default_rng(0)
    rows = [(name, env, trial, *rng.uniform(size=2)) for name in "AB" for env in range(3)
            for trial in range(3)]  # fmt: skip
    selected = chosen(*(row for row in rows if row[:3] != ("A", 1, 2)))
    for metric in ("overall", "few"):
        by_domain = tables.domain_rows(selected, ["A", "B"], 4, metric, Source())
        measures = tables.measure_rows(selected, ["A", "B"], [0, 1, 2], [metric], Source())
        for (_, cells), (_, (cell,)) in zip(by_domain, measures, strict=True):
            assert cells[-1].mean == pytest.approx(cell.mean)
            assert cells[-1].trials == cell.trials
        assert [cells[-1].trials for _, cells in by_domain] == [2, 3]


def test_measures_are_averaged_over_domains_first_then_over_trials():
    selected = chosen(
        ("A", 0, 0, 0.5, 0.1),
        ("A", 1, 0, 0.7, 0.3),
        ("A", 0, 1, 0.1, 0.5),
        ("A", 1, 1, 0.3, np.nan),
    )
    ((_, (overall, few)),) = tables.measure_rows(
        selected, ["A"], [0, 1], ["overall", "few"], Source()
    )
    assert overall.mean == pytest.approx((60 + 20) / 2)
    assert overall.error == pytest.approx(20 / math.sqrt(2))
    assert few.mean == pytest.approx((20 + 50) / 2)  # an absent group does not count
    assert overall.runs == 4


def test_a_trial_that_lacks_a_domain_does_not_count_for_the_measures():
    selected = chosen(("A", 0, 0, 0.5, 0.1), ("A", 1, 0, 0.7, 0.3), ("A", 0, 1, 0.9, 0.5))
    ((_, (cell,)), (_, (other,))) = tables.measure_rows(
        selected, ["A", "B"], [0, 1], ["overall"], Source()
    )
    assert (cell.mean, cell.trials) == (pytest.approx(60), 1)
    assert other.mean is None
    assert "every test domain" in other.reason


def test_averages_are_those_of_the_data_sets_and_need_every_one():
    one, other = [[("A", [Cell(50.0, 1.0, 2, 7)]), ("B", [Cell(10.0, 0.0, 1)])],
                  [("A", [Cell(70.0, 1.0, 3)]), ("B", [Cell(reason="why")])]]  # fmt: skip
    ((first, cells), (second, others)) = tables.average_rows([one, other])
    assert (first, second) == ("A", "B")
    assert (cells[0].mean, cells[0].trials, cells[0].runs) == (50, 2, 7)
    assert [cell.mean for cell in cells] == [50, 70, 60]
    assert [cell.mean for cell in others] == [10, None, None]
    assert others[1].reason == "why"


def test_the_best_row_comes_first_and_rows_without_a_figure_last():
    rows = [
        (name, [Cell(first), Cell(average)])
        for name, first, average in [("A", 9.0, 1.0), ("B", 1.0, 3.0), ("C", 1.0, None)]
    ]
    table = tables.Table("domains", {}, ["sketch", tables.AVERAGE], rows)
    assert [name for name, _ in tables.best_first(table).rows] == ["B", "A", "C"]
    table.columns = ["Overall", "Few"]
    assert [name for name, _ in tables.best_first(table).rows] == ["A", "B", "C"]
