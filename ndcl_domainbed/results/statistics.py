"""Are the differences more than chance? Tests, intervals and aggregates over cells.

- All pairs of algorithms by Wilcoxon's signed-rank test with Holm's correction, in place of tests
  on average ranks, which depend on who else is compared: Benavoli, Corani and Mangili, "Should We
  Really Use Post-Hoc Tests Based on Mean-Ranks?", JMLR 17 (2016).
- Interquartile mean, probability of improvement, performance profile and stratified bootstrap
  intervals: Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical
  Precipice", NeurIPS 2021, section 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from imbalance_splits.shots import SCORE_DECIMALS
from ndcl_domainbed.results.cells import CELL, Cells

ALPHA = 0.05


@dataclass(frozen=True)
class Estimate:
    """A statistic and its 95 % bootstrap interval, NaN if there is nothing to draw from."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """One algorithm over all cells: average rank (1 is best), mean and interquartile mean."""

    algorithm: str
    rank: float
    mean: Estimate
    iqm: Estimate


@dataclass(frozen=True)
class Comparison:
    """The reference against one algorithm.

    ``difference``: reference minus the other, in points. ``better``: the probability that a run
    of the reference beats one of the other. ``p``: Wilcoxon's after Holm's correction.
    """

    algorithm: str
    difference: Estimate
    better: Estimate
    wins: int
    losses: int
    p: float


def average_ranks(figures: pd.DataFrame) -> pd.Series:
    """Return the average ranks over the rows of ``figures``; 1 is best, ties share their ranks.

    Figures that differ by rounding alone are ties.
    """
    return figures.round(SCORE_DECIMALS).rank(axis=1, ascending=False).mean()


def _estimate(value: float, resampled: np.ndarray) -> Estimate:
    """Return ``value`` with the percentile interval of its bootstrap distribution."""
    if not len(resampled):
        return Estimate(value, math.nan, math.nan)
    low, high = np.quantile(resampled, [ALPHA / 2, 1 - ALPHA / 2])
    return Estimate(value, float(low), float(high))


def _estimate_mean(values: np.ndarray, counts: np.ndarray) -> Estimate:
    return _estimate(float(values.mean()), counts @ values / counts.sum(axis=1))


def interquartile_mean(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the mean of the middle half of ``values`` (n,), each there ``counts`` (resamples, n)
    times: a quarter of them, rounded down, is cut off at each end.

    >>> interquartile_mean(np.array([9.0, 1.0, 2.0, 3.0]), np.array([[1, 1, 1, 1], [1, 0, 1, 2]]))
    array([2.5, 3. ])
    """
    order = np.argsort(values, kind="stable")
    values, counts = values[order], counts[:, order]
    upto = counts.cumsum(axis=1)
    total = upto[:, -1:]
    cut = np.floor(total / 4)
    kept = np.minimum(upto, total - cut) - np.maximum(upto - counts, cut)
    kept = np.maximum(kept, 0)
    return np.asarray(kept @ values / kept.sum(axis=1))


def improvement(runs: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Return cells x algorithms: the share of pairs of a run of ``reference`` and one of the
    algorithm, in the same cell, that the reference wins; a tie is half a win.

    It is Mann and Whitney's U over the number of pairs. ``runs``: as in :class:`Cells`.
    """
    found = {}
    for cell, block in runs.round(SCORE_DECIMALS).groupby(level=CELL, sort=False):
        mine = block[reference].dropna().to_numpy()[:, None, None]
        others = block.to_numpy()[None]
        wins = np.where(np.isnan(others), np.nan, (mine > others) + (mine == others) / 2)
        found[cell] = np.nanmean(wins, axis=(0, 1))
    return pd.DataFrame.from_dict(found, orient="index", columns=runs.columns)


def performance_profile(runs: pd.DataFrame, thresholds: Sequence[float]) -> pd.DataFrame:
    """Return thresholds x algorithms: the share of runs above each, a mean over the cells."""
    runs = runs.round(SCORE_DECIMALS)
    rows = [
        (runs > limit).where(runs.notna()).astype(float).groupby(level=CELL).mean().mean()
        for limit in thresholds
    ]
    return pd.DataFrame(rows, index=pd.Index(thresholds))


def summarize(cells: Cells) -> list[Summary]:
    """Return ranks, means and interquartile means of the algorithms, in their order."""
    figures = cells.figures
    place = figures.index.get_indexer(cells.runs.reset_index("trial_seed").index)
    ranks = average_ranks(figures)
    found = []
    for name in figures.columns:
        runs = cells.runs[name].to_numpy()
        known = ~np.isnan(runs)
        runs, at = runs[known], place[known]
        (middle,) = interquartile_mean(runs, np.ones((1, len(runs))))
        iqm = _estimate(float(middle), interquartile_mean(runs, cells.draws[:, at]))
        mean = _estimate_mean(figures[name].to_numpy(), cells.draws)
        found.append(Summary(name, float(ranks[name]), mean, iqm))
    return found


def compare(cells: Cells, reference: str) -> list[Comparison]:
    """Compare ``reference`` with every other algorithm; empty if it has no cells."""
    figures = cells.figures
    if reference not in figures:
        return []
    better = improvement(cells.runs, reference).loc[figures.index.tolist()]
    found = []
    for name in figures.columns.drop(reference):
        gaps = (figures[reference] - figures[name]).round(SCORE_DECIMALS).to_numpy()
        found.append(
            Comparison(
                name,
                _estimate_mean(gaps, cells.draws),
                _estimate_mean(better[name].to_numpy(), cells.draws),
                int((gaps > 0).sum()),
                int((gaps < 0).sum()),
                float(cells.p[reference][name]),
            )
        )
    return found


def cells_needed(n_algorithms: int) -> int:
    """Return the least number of cells with which the test of a pair can reach 5 %.

    The least p of Wilcoxon's two-sided test over n cells is 2 / 2**n, and Holm's correction
    multiplies the least of m by m, the number of pairs.

    >>> cells_needed(2), cells_needed(22)
    (6, 14)
    """
    return math.ceil(math.log2(2 * max(1, math.comb(n_algorithms, 2)) / ALPHA))
