from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ndcl_domainbed.results import tables
from ndcl_domainbed.results.tables import Cell, CellSource


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
