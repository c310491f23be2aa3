"""Rank correlation with a bootstrap interval."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

RESAMPLES = 1000


class RankCorrelation(NamedTuple):
    """Spearman's ρ over ``n`` pairs of values and its 95 % bootstrap interval; NaN if undefined."""

    rho: float
    low: float
    high: float
    n: int


def rank_correlation(x: np.ndarray, y: np.ndarray, seed: int) -> RankCorrelation:
    """Return Spearman's rank correlation of ``x`` and ``y`` (N,), over pairs that are finite.

    The interval is the 2.5 to 97.5 % range over ``RESAMPLES`` draws of N pairs with replacement.
    Fewer than three pairs, or a constant, have no correlation.
    """
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = np.asarray(x)[finite], np.asarray(y)[finite]
    if len(x) < 3:
        return RankCorrelation(np.nan, np.nan, np.nan, len(x))
    drawn = np.random.RandomState(seed).randint(len(x), size=(RESAMPLES, len(x)))
    rhos = spearman(x[drawn], y[drawn])
    rhos = rhos[np.isfinite(rhos)]
    low, high = np.percentile(rhos, [2.5, 97.5]) if rhos.size else (np.nan, np.nan)
    return RankCorrelation(float(spearman(x, y)), float(low), float(high), len(x))


def spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return Spearman's ρ along the last axis; ties share their mean rank, NaN if all tie.

    ``scipy.stats.spearmanr`` takes one pair of samples at a time; the bootstrap needs a thousand.
    """
    a, b = (rankdata(values, axis=-1) for values in (x, y))
    a, b = (ranks - ranks.mean(axis=-1, keepdims=True) for ranks in (a, b))
    scale = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    return np.where(scale > 0, (a * b).sum(axis=-1) / np.where(scale > 0, scale, 1), np.nan)


def correlation_table(figures: pd.DataFrame, images: pd.Series, seed: int) -> pd.DataFrame:
    """Return a row for each column of ``figures``: its rank correlation with ``images``."""
    rows = []
    for name, values in figures.items():
        found = rank_correlation(images.to_numpy(), values.to_numpy(), seed)._asdict()
        rows.append({"part": "correlation", "figure": name, "spearman": found.pop("rho"), **found})
    return pd.DataFrame(rows).astype({"n": "Int64"})
