"""Tables as data: cells with mean, error and count, and the reason where there is none.

How a table looks (text, Markdown, LaTeX, CSV, HTML) is the business of ``formats``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

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


@dataclass
class Table:
    """A table of results. ``title`` maps what it is about ("Dataset", ...) to its name."""

    kind: str
    title: dict[str, str]
    columns: list[str]
    rows: list[tuple[str, list[Cell]]]
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


class Behind(Protocol):
    """What a table must know of the runs behind its cells."""

    def runs(self, algorithm: str, env: int) -> int:
        """Return how many runs the choice was made among."""

    def reason(self, algorithm: str, env: int, metric: str | None) -> str:
        """Say why there is no figure; ``metric`` if a record was chosen and only lacks that."""


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
    behind: Behind,
) -> list[tuple[str, list[Cell]]]:
    """Return algorithms x domains, and the average over domains.

    ``selected``: the chosen records of one data set and setting. ``behind`` knows the runs of a
    cell, and why it has no figure.
    """
    values = _by(selected, ["algorithm", "test_env"], metric)
    chosen = set(zip(selected["algorithm"], selected["test_env"], strict=True))
    rows = []
    for algorithm in algorithms:
        cells = []
        for env in range(n_envs):
            shares = values.get((algorithm, env), ())
            if len(shares):
                cells.append(over_trials(shares, behind.runs(algorithm, env)))
            else:
                lacking = metric if (algorithm, env) in chosen else None
                cells.append(Cell(reason=behind.reason(algorithm, env, lacking)))
        rows.append((algorithm, [*cells, average(cells)]))
    return rows


def measure_rows(
    selected: pd.DataFrame,
    algorithms: Sequence[str],
    envs: Sequence[int],
    metrics: Sequence[str],
    behind: Behind,
    lacking: Callable[[str], Missing] = lambda algorithm: (),
) -> list[tuple[str, list[Cell]]]:
    """Return algorithms x measures: the mean over the domains ``envs``, then over the trials.

    A trial counts if it has all of ``envs``; a domain where no class is in a shot group does not
    count for that group. ``lacking`` tells which domains an algorithm without a trial lacks.
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
        runs = sum(behind.runs(algorithm, env) for env in envs)
        cells = [over_trials(trials[metric].dropna().to_numpy(), runs) for metric in metrics]
        if len(trials):
            none = Cell(reason=NO_CLASS)
        else:
            none = Cell(reason=NO_TRIAL, missing=lacking(algorithm))
        rows.append((algorithm, [none if cell.mean is None else cell for cell in cells]))
    return rows


def average_rows(
    by_dataset: Sequence[Sequence[tuple[str, list[Cell]]]],
) -> list[tuple[str, list[Cell]]]:
    """Return algorithms x data sets, and the average over data sets.

    ``by_dataset``: for every data set what ``measure_rows`` gives for one measure and the same
    algorithms. So a trial counts if it has every test domain, as among the measures; DomainBed
    averages whatever there is, which is the same only where nothing is missing.
    """
    rows = []
    for parts in zip(*by_dataset, strict=True):
        cells = [cell for _, (cell,) in parts]
        rows.append((parts[0][0], [*cells, average(cells)]))
    return rows


def _by(frame: pd.DataFrame, keys: list[str], metric: str) -> dict[Any, np.ndarray]:
    known = frame[frame[metric].notna()]
    groups = known.groupby(keys, observed=True, sort=False)[metric]
    return {key: values.to_numpy() for key, values in groups}
