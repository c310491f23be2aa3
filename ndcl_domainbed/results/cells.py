"""Cells, over which algorithms are compared: a dataset, a setting and a target domain each.

What every statistic needs of them is here: the test of each pair, and the bootstrap's resamples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from imbalance_splits.errors import needs_package
from imbalance_splits.shots import SCORE_DECIMALS
from ndcl_domainbed.results import names
from ndcl_domainbed.results.labels import base_dataset, network_in

if TYPE_CHECKING:
    from ndcl_domainbed.results.leaderboards import Leaderboards

CELL = ["dataset", "setting", "test_env"]
SAME_IMAGES = {"Office31": "Office", "OfficeCaltech10": "Office"}
"""Datasets whose domains of one name hold the same photographs."""

RESAMPLES = 2_000
EXACT_CELLS = 100
"""Up to here Wilcoxon's test is exact; beyond, the normal approximation is as good and faster."""


@dataclass(frozen=True)
class Cells:
    """Figures in percent of the cells that every algorithm has.

    ``runs``: (cell, trial) x algorithms; NaN where an algorithm lacks the trial. ``figures``:
    cells x algorithms, the means over trials. ``dropped``: which cells and algorithms are left
    out, and why. ``network``: what all their datasets have in brackets; empty for the usual one.
    """

    runs: pd.DataFrame
    dropped: list[str] = field(default_factory=list)
    network: str = ""

    @cached_property
    def figures(self) -> pd.DataFrame:
        """Return cells x algorithms: the means over trials."""
        return self.runs.groupby(level=CELL, sort=False).mean()

    @cached_property
    def p(self) -> pd.DataFrame:
        """Return algorithms x algorithms: the corrected p of each pair."""
        return pairwise_p(self.figures)

    @cached_property
    def draws(self) -> np.ndarray:
        """Return how often each bootstrap resample has each cell, (RESAMPLES, cells)."""
        return draw_cells(self.figures.index)


def build_cells(selected: pd.DataFrame, metric: str = "overall") -> Cells:
    """Return the figures of all cells that every algorithm has.

    First, an algorithm with no more than half of the cells is dropped.
    """
    groups = selected.groupby([*CELL, "trial_seed", "algorithm"], observed=True)[metric]
    runs = (groups.mean() * 100).unstack("algorithm").dropna(how="all")
    runs.columns = pd.Index([str(name) for name in runs.columns])
    runs = runs[names.ordered_algorithms(runs.columns)]
    trials = runs.groupby(level=CELL).count()
    dropped = []
    for name in list(trials.columns):
        there = int((trials[name] > 0).sum())
        if 2 * there <= len(trials):
            dropped.append(f"{name} left out: it has {there} of {len(trials)} cells")
            trials = trials.drop(columns=name)
    complete = trials[(trials > 0).all(axis=1)]
    if len(complete) < len(trials):
        count = len(trials) - len(complete)
        dropped.append(f"{count_cells(count)} left out: not every algorithm has them")
    unequal = int((complete.nunique(axis=1) > 1).sum())
    if unequal:
        dropped.append(f"in {count_cells(unequal)} some algorithms have more trials than others")
    is_kept = runs.reset_index("trial_seed").index.isin(complete.index)
    return Cells(runs.loc[is_kept, complete.columns], dropped)


def iterate_cells(
    built: Sequence[Leaderboards], metrics: Sequence[str]
) -> Iterator[tuple[str, str, Cells]]:
    """Yield criterion, measure and the cells of one network, if several algorithms have some.

    The control of another board gives none.
    """
    for one in built:
        for metric in metrics:
            if metric not in one.cells:
                one.cells[metric] = _cells_by_network(one, metric)
            for cells in one.cells[metric]:
                yield one.criterion, metric, cells


def _cells_by_network(built: Leaderboards, metric: str) -> list[Cells]:
    controls = {board.control.setting for board in built.boards if board.control}
    compared = built.selected[~built.selected["setting"].astype(str).isin(controls)]
    networks = compared["dataset"].astype(str).map(network_in)
    found = []
    for network in sorted(networks.unique()):
        selected = compared[networks == network]
        if selected[metric].notna().any():
            cells = replace(build_cells(selected, metric), network=network)
            if len(cells.runs) and cells.runs.shape[1] > 1:
                found.append(cells)
    return found


def image_groups(cells: pd.Index) -> tuple[np.ndarray, np.ndarray]:
    """Return of every cell the dataset that it is from, and the group of cells with its images.

    All settings of a target domain share its images; so do the domains of one name in Office-31
    and Office-Caltech-10, which count as one dataset here.
    """
    datasets, groups = [], []
    for label, _, env in cells:
        dataset = base_dataset(str(label))
        known = names.ENVIRONMENTS.get(dataset, ())
        datasets.append(SAME_IMAGES.get(dataset, dataset))
        groups.append(f"{datasets[-1]}/{known[env] if 0 <= env < len(known) else env}")
    return np.array(datasets), np.array(groups)


def pairwise_p(figures: pd.DataFrame) -> pd.DataFrame:
    """Return algorithms x algorithms: Wilcoxon's two-sided p, Holm-corrected for all pairs.

    Cells with equal figures are left out of a pair's test. The exact distribution is asked for:
    SciPy's automatic choice takes the normal approximation where differences tie, whose small
    p-values are off with few cells, or below 14 cells lists all signs, a second a pair. With
    ties the exact test rounds to the safe side. Raises InputError if scikit-posthocs is missing.
    """
    with needs_package("the tests need scikit-posthocs: pip install 'ndcl-domainbed[report]'"):
        from scikit_posthocs import posthoc_wilcoxon
    # whole numbers: equal differences are equal in every bit, and tie
    whole = (figures * 10.0**SCORE_DECIMALS).round().melt(var_name="name", value_name="figure")
    method = "exact" if len(figures) <= EXACT_CELLS else "asymptotic"
    return posthoc_wilcoxon(
        whole, val_col="figure", group_col="name", method=method, p_adjust="holm"
    )


def draw_cells(cells: pd.Index) -> np.ndarray:
    """Return how often each bootstrap resample has each cell, (RESAMPLES, cells).

    Stratified: within each dataset, target domains are drawn with replacement, as many as it has.
    A target brings its cells under all settings, since these share its images. There is no
    resample, (0, cells), if no dataset has several targets.
    """
    datasets, groups = image_groups(cells)
    rng = np.random.default_rng(0)
    counts = np.empty((RESAMPLES, len(cells)))
    for dataset in dict.fromkeys(datasets):
        here = datasets == dataset
        targets, member = np.unique(groups[here], return_inverse=True)
        even = np.full(len(targets), 1 / len(targets))
        counts[:, here] = rng.multinomial(len(targets), even, size=RESAMPLES)[:, member]
    return counts[: len(counts) if len(set(groups)) > len(set(datasets)) else 0]


def count_cells(count: int) -> str:
    """Return "1 cell" or "5 cells"."""
    return "1 cell" if count == 1 else f"{count} cells"
