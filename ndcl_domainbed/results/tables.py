"""Tables as data: cells with mean, error and count, and the reason where there is none.

``formats`` renders them as text, Markdown, LaTeX, CSV and HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

AVERAGE = "Avg"
SELECTION = "model selection method"  # the key of the criterion in the title of a table
NO_CLASS = "no class of the test domains is in this group, or the records lack the measure"
LOST = "Lost to imbalance"
"""The column of the control's accuracy minus the setting's; less is better."""

NO_PAIR = "no trial has every test domain both here and under the control"
NO_TRIAL = "no trial has every test domain; the table by domain says what is missing"


@dataclass(frozen=True)
class Cell:
    """A figure in percent: mean and standard error over ``trials`` trials; or why there is none.

    ``error`` is None for a single trial, and where the figure is an average over columns, as
    DomainBed's "Avg" is. ``runs`` is how many runs the choice was made among. ``text``, if any, is
    shown as it stands.
    """

    mean: float | None = None
    error: float | None = None
    trials: int = 0
    runs: int = 0
    reason: str = ""
    text: str = ""


Row = tuple[str, list[Cell]]


@dataclass
class Table:
    """A table of results. ``title`` maps what it is about ("Dataset", ...) to its name."""

    kind: str
    title: dict[str, str]
    columns: list[str]
    rows: list[Row]
    head: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def reasons(self) -> dict[str, list[tuple[str, str]]]:
        """Return why figures are missing: reason -> the places, (row, column)."""
        found: dict[str, list[tuple[str, str]]] = {}
        for row, cells in self.rows:
            for column, cell in zip(self.columns, cells, strict=True):
                if cell.mean is None and cell.reason:
                    found.setdefault(cell.reason, []).append((row, column))
        return found

    def most_trials(self) -> list[int]:
        """Return of every column the number of trials that its figures should have.

        It is the largest in the table; for averages, where each column is another dataset, the
        largest in the column.
        """
        most = [max((cells[place].trials for _, cells in self.rows), default=0)
                for place in range(len(self.columns))]  # fmt: skip
        return most if self.kind == "averages" else [max(most, default=0)] * len(most)


def best_first(table: Table) -> Table:
    """Return ``table`` sorted by its average, or else by its first column, the best row on top."""
    place = table.columns.index(AVERAGE) if AVERAGE in table.columns else 0
    means = [cells[place].mean for _, cells in table.rows]
    order = np.argsort([np.inf if mean is None else -mean for mean in means], kind="stable")
    return replace(table, rows=[table.rows[row] for row in order])


class CellSource:
    """What a table knows of the runs of its cells; this one knows nothing."""

    def count_runs(self, algorithm: str, env: int) -> int:
        """Return how many runs the choice was made among; 0 if that is not known."""
        return 0

    def reason(self, algorithm: str, env: int) -> str:
        """Return why no record was chosen."""
        return ""


def over_trials(shares: Sequence[float] | np.ndarray, runs: int = 0) -> Cell:
    """Return mean and standard error in percent of one accuracy (a share) per trial.

    The error is the population standard deviation divided by the root of the number of trials,
    as DomainBed has it; a single trial has none.
    """
    values = np.asarray(shares, dtype=np.float64)
    if not len(values):
        return Cell()
    mean = float(100 * np.mean(values))
    error = float(100 * np.std(values / np.sqrt(len(values)))) if len(values) > 1 else None
    return Cell(mean, error, len(values), runs)


def average(cells: Sequence[Cell]) -> Cell:
    """Return the mean of some cells' means; a cell that is missing makes it missing."""
    means = [cell.mean for cell in cells if cell.mean is not None]
    if not means or len(means) < len(cells):
        return Cell(reason="a figure of the row is missing")
    return Cell(
        sum(means) / len(means),
        None,
        min(cell.trials for cell in cells),
        sum(cell.runs for cell in cells),
    )


def domain_rows(
    selected: pd.DataFrame,
    algorithms: Sequence[str],
    n_envs: int,
    metric: str,
    source: CellSource,
) -> list[Row]:
    """Return algorithms x domains, and the average: that of :func:`measure_rows`.

    ``selected``: the chosen records of one dataset and setting.
    """
    envs = tested_envs(selected, n_envs)
    shares = _group_by_cell(selected, metric)
    of_whole = _group_by_cell(selected[is_whole_trial(selected, envs)], metric)
    rows = []
    for algorithm, (mean,) in measure_rows(selected, algorithms, envs, [metric], source):
        cells = []
        for env in range(n_envs):
            if (algorithm, env) not in shares:
                cells.append(Cell(reason=source.reason(algorithm, env)))
            else:
                known = shares[algorithm, env][~np.isnan(shares[algorithm, env])]
                cell = over_trials(known, source.count_runs(algorithm, env))
                cells.append(Cell(reason=NO_CLASS) if cell.mean is None else cell)
        mean = replace(mean, error=None)
        whole = [of_whole[algorithm, env] for env in envs if (algorithm, env) in of_whole]
        if whole and not np.isnan(whole).any():  # the same, added as DomainBed adds
            mean = replace(mean, mean=average([over_trials(one) for one in whole]).mean)
        rows.append((algorithm, [*cells, mean]))
    return rows


def _group_by_cell(selected: pd.DataFrame, metric: str) -> dict[Any, np.ndarray]:
    """Return (algorithm, domain) -> the figures of its trials."""
    groups = selected.groupby(["algorithm", "test_env"], observed=True, sort=False)[metric]
    return {key: values.to_numpy() for key, values in groups}


def tested_envs(selected: pd.DataFrame, n_envs: int) -> list[int]:
    """Return the domains that any algorithm has a figure for; all ``n_envs``, if none has."""
    known: list[int] = sorted(selected["test_env"].unique().tolist())
    return known or list(range(n_envs))


def is_whole_trial(selected: pd.DataFrame, envs: Sequence[int]) -> pd.Series:
    """Return of every record whether its algorithm's trial has a figure for all of ``envs``."""
    trial = selected[selected["test_env"].isin(envs)].groupby(
        ["algorithm", "trial_seed"], observed=True
    )
    return trial["test_env"].transform("nunique").reindex(selected.index) == len(set(envs))


def measure_rows(
    selected: pd.DataFrame,
    algorithms: Sequence[str],
    envs: Sequence[int],
    metrics: Sequence[str],
    source: CellSource,
) -> list[Row]:
    """Return algorithms x measures: the mean over the domains ``envs``, then over the trials.

    A trial counts if it has all of ``envs``; a domain without a class in a group does not count.
    """
    means = _trial_means(selected, envs, metrics)
    there = set(means.index.get_level_values("algorithm"))
    rows = []
    for algorithm in algorithms:
        trials = means.loc[algorithm] if algorithm in there else means.iloc[:0]
        runs = sum(source.count_runs(algorithm, env) for env in envs)
        cells = [over_trials(trials[metric].dropna().to_numpy(), runs) for metric in metrics]
        none = Cell(reason=NO_CLASS if len(trials) else NO_TRIAL)
        rows.append((algorithm, [none if cell.mean is None else cell for cell in cells]))
    return rows


def _trial_means(
    selected: pd.DataFrame, envs: Sequence[int], metrics: Sequence[str]
) -> pd.DataFrame:
    """Return (algorithm, trial) x measures: means over ``envs``, of trials that have them all."""
    mine = selected[selected["test_env"].isin(envs)]
    whole = mine[is_whole_trial(mine, envs)].astype({"algorithm": str})
    return whole.groupby(["algorithm", "trial_seed"], observed=True)[list(metrics)].mean()


def lost_rows(
    control: pd.DataFrame, selected: pd.DataFrame, algorithms: Sequence[str], envs: Sequence[int]
) -> list[Row]:
    """Return algorithms x one column: the overall accuracy under the control minus that selected.

    Differences are of pairs of trials, since trials of one number share their target images.
    """
    under, here = (_trial_means(one, envs, ["overall"])["overall"] for one in (control, selected))
    gaps = (under - here).dropna()
    there = set(gaps.index.get_level_values("algorithm"))
    return [
        (name, [over_trials(gaps.loc[name]) if name in there else Cell(reason=NO_PAIR)])
        for name in algorithms
    ]


def average_rows(by_dataset: Sequence[Sequence[Row]]) -> list[Row]:
    """Return algorithms x datasets, and the average over datasets.

    ``by_dataset``: what ``measure_rows`` gives for one measure. DomainBed averages the domains at
    hand instead of whole trials, which is the same where nothing is missing.
    """
    rows = []
    for parts in zip(*by_dataset, strict=True):
        cells = [cell for _, (cell,) in parts]
        rows.append((parts[0][0], [*cells, average(cells)]))
    return rows
