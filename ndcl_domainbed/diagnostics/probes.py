"""What scikit-learn fits to vectors: linear probes, and planes to look at."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import numpy as np

from imbalance_splits.errors import InputError

FOLDS = 5
CHANCE = 0.5
"""The balanced accuracy of a probe of two groups that knows nothing."""

_STRENGTH = 0.1
"""Inverse of the probe's L2 penalty, on standardised vectors."""


class ProbeAccuracy(NamedTuple):
    """The balanced accuracy of a linear probe on what it was not fitted to.

    ``mean`` over the folds, in [0, 1], and ``error``, its standard error.
    """

    mean: float
    error: float


def require_scikit_learn(module: str) -> Any:
    """Return ``sklearn.module``; InputError if scikit-learn is missing."""
    try:
        return importlib.import_module(f"sklearn.{module}")
    except ImportError:
        raise InputError(
            "this diagnostic needs scikit-learn: pip install 'ndcl-domainbed[diagnose]'"
        ) from None


def stratified_folds(groups: np.ndarray, seed: int, folds: int = FOLDS) -> np.ndarray:
    """Deal each of ``groups`` (N,) out to the folds at random and evenly; return the folds (N,)."""
    order = np.random.RandomState(seed).permutation(len(groups))
    order = order[np.argsort(groups[order], kind="stable")]
    found = np.empty(len(groups), dtype=int)
    found[order] = np.arange(len(groups)) % folds
    return found


def probe_accuracy(vectors: np.ndarray, groups: np.ndarray, folds: np.ndarray) -> ProbeAccuracy:
    """Return how well a linear probe tells two groups of vectors apart.

    ``vectors`` is (N, F), ``groups`` (N,) 0 or 1; for each value in ``folds`` (N,) a logistic
    regression on standardised vectors is fitted to the others and tried on these. A
    fold without both groups is left out; NaN if fewer than two remain.
    """
    linear, scaling = require_scikit_learn("linear_model"), require_scikit_learn("preprocessing")
    hits = []
    for fold in np.unique(folds):
        held = folds == fold
        if any(len(np.unique(groups[part])) < 2 for part in (held, ~held)):
            continue
        scaler = scaling.StandardScaler().fit(vectors[~held])
        probe = linear.LogisticRegression(C=_STRENGTH, class_weight="balanced", max_iter=1000)
        probe.fit(scaler.transform(vectors[~held]), groups[~held])
        right = probe.predict(scaler.transform(vectors[held])) == groups[held]
        hits.append(np.mean([right[groups[held] == group].mean() for group in (0, 1)]))
    if len(hits) < 2:
        return ProbeAccuracy(np.nan, np.nan)
    return ProbeAccuracy(float(np.mean(hits)), float(np.std(hits, ddof=1) / np.sqrt(len(hits))))


def proxy_distance(accuracy: float) -> float:
    """Return the proxy A-distance 2 (1 - 2 error) of a domain classifier, in [0, 2].

    Ben-David et al., "Analysis of Representations for Domain Adaptation", NeurIPS 2006. A
    classifier that is wrong more often than chance counts as chance.
    """
    return float(np.clip(2 * (1 - 2 * (1 - accuracy)), 0, 2))


def tsne_plane(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Return the t-SNE of ``vectors`` (N, F) in the plane, (N, 2)."""
    manifold = require_scikit_learn("manifold")
    perplexity = min(30, max(2, (len(vectors) - 1) / 3))
    fit = manifold.TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform
    return np.asarray(fit(np.asarray(vectors, dtype=np.float32)))
