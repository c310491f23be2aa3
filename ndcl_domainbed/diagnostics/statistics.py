"""Rank correlation with a bootstrap interval, and linear probes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

RESAMPLES = 1000
FOLDS = 5
CHANCE = 0.5  # the balanced accuracy of a probe of two groups that knows nothing
_STRENGTH = 0.1  # inverse of the probe's L2 penalty, on standardized vectors


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
    """Return Spearman's ρ along the last axis, for a thousand samples at once; NaN if all tie."""
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


class ProbeAccuracy(NamedTuple):
    """Balanced accuracy of a probe, in [0, 1], and its standard error over folds; or NaN."""

    mean: float
    error: float


def stratified_folds(groups: np.ndarray, seed: int) -> np.ndarray:
    """Deal each of ``groups`` (N,) out to the folds at random and evenly; return the folds (N,)."""
    order = np.random.RandomState(seed).permutation(len(groups))
    order = order[np.argsort(groups[order], kind="stable")]
    found = np.empty(len(groups), dtype=int)
    found[order] = np.arange(len(groups)) % FOLDS
    return found


def probe_accuracy(vectors: np.ndarray, groups: np.ndarray, folds: np.ndarray) -> ProbeAccuracy:
    """Return how well a logistic regression tells two groups of vectors apart.

    ``vectors`` is (N, F), ``groups`` (N,) 0 or 1, ``folds`` (N,) the fold in which each is held
    out. A fold without both groups is left out; NaN if fewer than two remain.
    """
    splits = [
        (np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in np.unique(folds)
    ]
    splits = [pair for pair in splits if all(len(set(groups[part])) == 2 for part in pair)]
    if len(splits) < 2:
        return ProbeAccuracy(np.nan, np.nan)
    regression = LogisticRegression(C=_STRENGTH, class_weight="balanced", max_iter=1000)
    probe = make_pipeline(StandardScaler(), regression)
    hits = cross_val_score(probe, vectors, groups, scoring="balanced_accuracy", cv=splits)
    return ProbeAccuracy(float(hits.mean()), float(hits.std(ddof=1) / np.sqrt(len(hits))))
