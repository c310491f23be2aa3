"""How well a linear classifier tells two groups of vectors apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FOLDS = 5
CHANCE = 0.5
"""The balanced accuracy of a probe of two groups that knows nothing."""

_STRENGTH = 0.1
"""Inverse of the probe's L2 penalty, on standardized vectors."""


class ProbeAccuracy(NamedTuple):
    """The cross-validated balanced accuracy of a linear probe, and its standard error over folds.

    In [0, 1]; NaN if it is unknown.
    """

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
