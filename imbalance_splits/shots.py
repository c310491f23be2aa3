"""Many / Medium / Few / Zero, and the accuracies over classes and over groups of classes.

``correct`` and ``total`` are the correctly predicted and all images of each class, int (K).
Accuracies are shares, in [0, 1]; one that no image stands behind
is None: neither NaN nor 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imbalance_splits.table import Thresholds

GROUPS = ("many", "medium", "few", "zero")

SCORE_DECIMALS = 10
"""Means of accuracies that agree to this number of decimals differ by rounding alone."""

RECORD_SUFFIXES = {"many": "0many", "medium": "1median", "few": "2few", "zero": "3zero"}
"""How the authors' records, and ours, end the key of each group: ``env0_in_0many``, …"""


def shot_groups(counts: np.ndarray, thresholds: Thresholds) -> list[str]:
    """Return the group of each class from its training images ``counts`` (sources, classes).

    By the mean over the sources: 'zero' if it is 0; else 'many' if it is above
    ``thresholds.many``, 'few' if below ``thresholds.few``, 'medium' if neither.
    """
    means = np.asarray(counts).mean(axis=0)
    chosen = np.select(
        [means == 0, means > thresholds.many, means < thresholds.few],
        ["zero", "many", "few"],
        "medium",
    )
    return chosen.tolist()


def describe_empty_groups(counts: np.ndarray, thresholds: Thresholds) -> list[str]:
    """Return a line that names the empty groups of Many, Medium and Few, and why they are empty.

    ``counts`` is (sources, classes). There is no line if none is empty.
    """
    present = shot_groups(counts, thresholds)
    empty = [group.capitalize() for group in GROUPS[:3] if group not in present]
    if not empty:
        return []
    means = np.asarray(counts).mean(axis=0)
    levels = len(np.unique(means[means > 0]))
    reasons = {
        0: "no class has a training image",
        1: "every class that is trained on has the same mean",
    }
    reason = reasons.get(levels, "no class has such a mean")
    if levels == 2 and empty == ["Medium"]:
        reason = "there are only two different means"
    return [f"Empty: {', '.join(empty)} ({reason})"]


def overall_accuracy(correct: np.ndarray, total: np.ndarray) -> float | None:
    """Return the share of all images that are predicted correctly."""
    images = int(np.sum(total))
    return int(np.sum(correct)) / images if images else None


def class_accuracies(correct: np.ndarray, total: np.ndarray) -> list[float | None]:
    """Return the accuracy of each class; None for a class with no image."""
    return [
        right / images if images else None
        for right, images in zip(
            np.asarray(correct).tolist(), np.asarray(total).tolist(), strict=True
        )
    ]


def macro_f1(correct: np.ndarray, total: np.ndarray, predicted: np.ndarray) -> float | None:
    """Return the mean F1 score, in [0, 1], of the classes that occur; None if none does.

    ``predicted`` (K) are the images that are taken for each class. F1 is the harmonic mean of
    precision and recall, 2 * correct / (total + predicted).

    >>> round(macro_f1(np.array([3, 1]), np.array([3, 2]), np.array([4, 1])), 3)
    0.762
    """
    correct, total = np.asarray(correct), np.asarray(total)
    present = total > 0
    scores = 2 * correct[present] / (total + np.asarray(predicted))[present]
    return float(scores.mean()) if present.any() else None


def group_accuracies(
    correct: np.ndarray, total: np.ndarray, shots: Sequence[str]
) -> dict[str, float | None]:
    """Return, for each of :data:`GROUPS`, the mean accuracy of its classes that occur.

    ``shots`` (K) are the classes' groups, as :func:`shot_groups` gives them. A group with no
    such class is None.
    """
    correct, total = np.asarray(correct), np.asarray(total)
    present = total > 0
    accuracies = correct / np.where(present, total, 1)
    members = (np.asarray(shots) == np.asarray(GROUPS)[:, None]) & present
    sizes = members.sum(axis=1)
    sums = members @ accuracies
    return {
        group: float(value / size) if size else None
        for group, value, size in zip(GROUPS, sums, sizes, strict=True)
    }
