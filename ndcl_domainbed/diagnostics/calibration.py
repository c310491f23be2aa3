"""Whether a model is right as often as it is confident."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BINS = 15
"""Bins of equal width over the confidences 0 to 1, as in Guo et al. (2017)."""


class Reliability(NamedTuple):
    """The predictions of a model, by confidence: arrays (B,), one entry per bin.

    A bin holds the confidences above ``low`` and up to ``high``. ``confidence`` and ``accuracy``
    are means over its ``images``, NaN where it has none.
    """

    low: np.ndarray
    high: np.ndarray
    images: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> Reliability:
    """Sort predictions into bins of equal width.

    ``confidence`` (N,) holds the probability of the predicted class, ``correct`` (N,) whether that
    is the true one. The data of a reliability diagram: Guo et al., "On Calibration of Modern
    Neural Networks", ICML 2017, arXiv:1706.04599.
    """
    place = np.clip(np.ceil(np.asarray(confidence) * bins).astype(int) - 1, 0, bins - 1)
    images = np.bincount(place, minlength=bins)
    sums = [np.bincount(place, values, bins) for values in (confidence, correct)]
    means = [np.where(images, total / np.maximum(images, 1), np.nan) for total in sums]
    edges = np.linspace(0, 1, bins + 1)
    return Reliability(edges[:-1], edges[1:], images, *means)


def calibration_error(found: Reliability) -> float:
    """Return the expected calibration error (ECE), in [0, 1].

    The mean distance of accuracy and confidence over the bins, weighted by their images.
    """
    gaps = np.nan_to_num(np.abs(found.accuracy - found.confidence))
    return float((gaps * found.images).sum() / found.images.sum())
