"""Rank correlation with a bootstrap interval, and how often one sample lies below another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

RESAMPLES = 1000


class RankCorrelation(NamedTuple):
    """Spearman's ρ with the ends of its 95 % bootstrap interval; NaN where it has no meaning.

    ``images`` is how many pairs of values it is over.
    """

    rho: float
    low: float
    high: float
    images: int

    def signed(self) -> str:
        """Return ρ with its interval and signs, as "+0.20 [-0.10, +0.50]", or "unknown"."""
        if np.isnan(self.rho):
            return "unknown"
        return f"{self.rho:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"

    def falls(self, rises: str) -> str:
        """Answer whether ρ is below 0, beyond its interval; ``rises`` is said if it is above."""
        if self.high < 0:
            return "Yes"
        return rises if self.low > 0 else "Not clearly"


def rank_correlation(
    x: np.ndarray, y: np.ndarray, seed: int, resamples: int = RESAMPLES
) -> RankCorrelation:
    """Return Spearman's rank correlation of ``x`` and ``y`` (N,), over pairs that are finite.

    The interval is the 2.5 to 97.5 % range over ``resamples`` draws of N pairs with replacement.
    Fewer than three pairs, or a constant, have no correlation.
    """
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = np.asarray(x)[finite], np.asarray(y)[finite]
    if len(x) < 3:
        return RankCorrelation(np.nan, np.nan, np.nan, len(x))
    drawn = np.random.RandomState(seed).randint(len(x), size=(resamples, len(x)))
    spread = spearman(x[drawn], y[drawn])
    spread = spread[np.isfinite(spread)]
    low, high = np.percentile(spread, [2.5, 97.5]) if spread.size else (np.nan, np.nan)
    return RankCorrelation(float(spearman(x, y)), float(low), float(high), len(x))


def spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return Spearman's ρ along the last axis; ties share their mean rank, NaN if all tie."""
    a, b = (rankdata(values, axis=-1) for values in (x, y))
    a, b = (ranks - ranks.mean(axis=-1, keepdims=True) for ranks in (a, b))
    scale = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    return np.where(scale > 0, (a * b).sum(axis=-1) / np.where(scale > 0, scale, 1), np.nan)


def share_below(x: np.ndarray, y: np.ndarray) -> float:
    """Return how often a value of ``x`` is below one of ``y``, in [0, 1]; ties count one half.

    0.5 if neither tends to be lower: the area under a ROC curve (Mann-Whitney).
    """
    ranks = rankdata(np.concatenate([y, x]))[: len(y)].sum()
    return float((ranks - len(y) * (len(y) + 1) / 2) / (len(x) * len(y)))
