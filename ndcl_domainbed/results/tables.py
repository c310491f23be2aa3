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
SELECTION = "model selection method"
"""The key of the criterion in the title of a table."""

NO_CLASS = "no class of the test domains is in this group, or the records lack the measure"
NO_TRIAL = "no trial has all the test domains of this table"

Missing = tuple[tuple[str, str], ...]
"""Which domains have no figure, and why: pairs ("A, C", "1 run unfinished")."""


@dataclass(frozen=True)
class Cell:
    """A figure in percent: mean and standard error over ``trials`` trials; or why there is none.

    ``error`` is None where the figure is an average over columns, as DomainBed's "Avg" is.
    ``runs`` is how many runs the choice was made among. ``text``, if any, is shown as it stands.
    ``missing`` says more on ``reason``, where the figure would be one over several domains.
    """

    mean: float | None = None
    error: float | None = None
    trials: int = 0
    runs: int = 0
    reason: str = ""
    text: str = ""
    missing: Missing = ()

    @property
    def details(self) -> str:
        """Return what is missing as text: "A, C: 1 run unfinished; P: ..."."""
        return "; ".join(f"{domains}: {reason}" for domains, reason in self.missing)


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


def best_first(table: Table) -> Table:
    """Return ``table`` sorted by its average, or else by its first column, the best row on top."""
    place = table.columns.index(AVERAGE) if AVERAGE in table.columns else 0

    def loss(row: Row) -> float:
        mean = row[1][place].mean
        return np.inf if mean is None else -mean

    return replace(table, rows=sorted(table.rows, key=loss))


class CellSource:
    """What a table knows of the runs of its cells; this one knows nothing."""

    def runs(self, algorithm: str, env: int) -> int:
        """Return how many runs the choice was made among; 0 if that is not known."""
        return 0

    def reason(self, algorithm: str, env: int) -> str:
        """Return why no record was chosen."""
        return ""

    def missing(self, selected: pd.DataFrame, algorithm: str, envs: Sequence[int]) -> Missing:
        """Return which of ``envs`` lack a figure among the ``selected`` records, and why."""
        return ()


def over_trials(shares: Sequence[float] | np.ndarray, runs: int = 0) -> Cell:
    """Return mean and standard error in percent of one accuracy (a share) per trial.

    The error is the population standard deviation divided by the root of the number of trials,
    as DomainBed has it; it is 0 for a single trial.
    """
    values = np.asarray(shares, dtype=np.float64)
    if not len(values):
        return Cell()
    mean = 100 * np.mean(values)
    error = 100 * np.std(values / np.sqrt(len(values)))
    return Cell(float(mean), float(error), len(values), runs)


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
    """Return algorithms x domains, and the average over domains.

    ``selected``: the chosen records of one dataset and setting.
    """
    values = _group_values(selected, ["algorithm", "test_env"], metric)
    chosen = set(zip(selected["algorithm"], selected["test_env"], strict=True))
    rows = []
    for algorithm in algorithms:
        cells = []
        for env in range(n_envs):
            shares = values.get((algorithm, env), ())
            if len(shares):
                cells.append(over_trials(shares, source.runs(algorithm, env)))
            elif (algorithm, env) in chosen:
                cells.append(Cell(reason=NO_CLASS))
            else:
                cells.append(Cell(reason=source.reason(algorithm, env)))
        rows.append((algorithm, [*cells, average(cells)]))
    return rows


def measure_rows(
    selected: pd.DataFrame,
    algorithms: Sequence[str],
    envs: Sequence[int],
    metrics: Sequence[str],
    source: CellSource,
) -> list[Row]:
    """Return algorithms x measures: the mean over the domains ``envs``, then over the trials.

    A trial counts if it has all of ``envs``; a domain where no class is in a shot group does not
    count for that group.
    """
    by_trial = selected[selected["test_env"].isin(envs)].groupby(
        ["algorithm", "trial_seed"], observed=True
    )
    whole = by_trial["test_env"].nunique() == len(set(envs))
    means = by_trial[list(metrics)].mean()[whole]
    there = set(means.index.get_level_values("algorithm"))
    rows = []
    for algorithm in algorithms:
        trials = means.loc[algorithm] if algorithm in there else means.iloc[:0]
        runs = sum(source.runs(algorithm, env) for env in envs)
        cells = [over_trials(trials[metric].dropna().to_numpy(), runs) for metric in metrics]
        if len(trials):
            none = Cell(reason=NO_CLASS)
        else:
            none = Cell(reason=NO_TRIAL, missing=source.missing(selected, algorithm, envs))
        rows.append((algorithm, [none if cell.mean is None else cell for cell in cells]))
    return rows


def average_rows(by_dataset: Sequence[Sequence[Row]]) -> list[Row]:
    """Return algorithms x datasets, and the average over datasets.

    ``by_dataset``: for every dataset what ``measure_rows`` gives for one measure and the same
    algorithms. So a trial counts if it has every test domain, as among the measures; DomainBed
    averages the domains at hand, which is the same only where nothing is missing.
    """
    rows = []
    for parts in zip(*by_dataset, strict=True):
        cells = [cell for _, (cell,) in parts]
        rows.append((parts[0][0], [*cells, average(cells)]))
    return rows


def _group_values(frame: pd.DataFrame, keys: list[str], metric: str) -> dict[Any, np.ndarray]:
    known = frame[frame[metric].notna()]
    groups = known.groupby(keys, observed=True, sort=False)[metric]
    return {key: values.to_numpy() for key, values in groups}
