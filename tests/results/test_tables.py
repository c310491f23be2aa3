import math

import pytest

from ndcl_domainbed.results import tables
from ndcl_domainbed.results.tables import Cell, over_trials


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


def test_the_best_row_comes_first_and_rows_without_a_figure_last():
    rows = [
        (name, [Cell(first), Cell(average)])
        for name, first, average in [("A", 9.0, 1.0), ("B", 1.0, 3.0), ("C", 1.0, None)]
    ]
    table = tables.Table("domains", {}, ["sketch", tables.AVERAGE], rows)
    assert [name for name, _ in tables.best_first(table).rows] == ["B", "A", "C"]
    table.columns = ["Overall", "Few"]
    assert [name for name, _ in tables.best_first(table).rows] == ["A", "B", "C"]
