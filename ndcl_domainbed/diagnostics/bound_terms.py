"""Terms of a generalization bound, estimated from what a model makes of images."""

from __future__ import annotations

import numpy as np

MIN_IMAGES = 2
"""A class is compared between two domains that have at least this many images of it."""


def draw_evenly(labels: np.ndarray, images: int, seed: int) -> np.ndarray:
    """Return ``images`` positions of ``labels`` (N,), spread over the classes, in order.

    The classes get as equal a number as their images allow; the images are drawn at random.
    """
    order = np.random.RandomState(seed).permutation(len(labels))
    taken = np.empty(len(labels), dtype=int)
    for label in np.unique(labels):
        members = labels[order] == label
        taken[members] = np.arange(members.sum())
    return np.sort(order[np.argsort(taken, kind="stable")[:images]])


def prediction_margins(posteriors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the margin p_y - max over j != y of p_j of each sample, in [-1, 1], (N,).

    ``posteriors`` is (N, K), ``labels`` (N,) the true classes: below 0 the prediction is wrong.
    """
    rows = np.arange(len(labels))
    others = posteriors.copy()
    others[rows, labels] = -np.inf
    return posteriors[rows, labels] - others.max(axis=1)


def margin_loss(
    margins: np.ndarray, labels: np.ndarray, classes: np.ndarray, deltas: np.ndarray
) -> np.ndarray:
    """Return Pr[margin <= δ] for each of ``deltas`` (D,), averaged over ``classes``, (D,).

    Each class that occurs counts once, so that at δ = 0 it is 1 minus the accuracy of a shot
    group. NaN if none occurs.
    """
    present = np.intersect1d(classes, labels)
    if present.size == 0:
        return np.full(len(deltas), np.nan)
    shares = [(margins[labels == k][:, None] <= deltas).mean(axis=0) for k in present]
    return np.mean(shares, axis=0)


def shared_classes(
    labels: np.ndarray, others: np.ndarray, min_images: int = MIN_IMAGES
) -> np.ndarray:
    """Return the classes of which both domains have at least ``min_images`` images, ascending."""
    mine, theirs = (np.unique(values, return_counts=True) for values in (labels, others))
    return np.intersect1d(mine[0][mine[1] >= min_images], theirs[0][theirs[1] >= min_images])


def posterior_discrepancy(
    posteriors: np.ndarray, labels: np.ndarray, others: np.ndarray, other_labels: np.ndarray
) -> float:
    """Return how far the mean posteriors of a class lie apart in two domains, in [0, 1].

    The total variation distance of the means over the images of a class, averaged over the
    classes that both domains have (:func:`shared_classes`); NaN if there is none. ``posteriors``
    and ``others`` are (N, K) and (M, K).
    """
    apart = [
        np.abs(posteriors[labels == k].mean(axis=0) - others[other_labels == k].mean(axis=0)).sum()
        for k in shared_classes(labels, other_labels)
    ]
    return float(np.mean(apart) / 2) if apart else np.nan


def chance_discrepancy(
    posteriors: np.ndarray,
    labels: np.ndarray,
    others: np.ndarray,
    other_labels: np.ndarray,
    seed: int,
    draws: int = 20,
) -> float:
    """Return the discrepancy that this many images have without any shift.

    The mean of :func:`posterior_discrepancy` over ``draws`` times in which the images of every
    class are dealt out to the two domains at random, as many to each as before.
    """
    rng = np.random.RandomState(seed)
    pooled = np.concatenate([posteriors, others])
    both = np.concatenate([labels, other_labels])
    found = []
    for _ in range(draws):
        shuffled = pooled.copy()
        for k in np.unique(both):
            members = np.flatnonzero(both == k)
            shuffled[members] = pooled[rng.permutation(members)]
        halves = shuffled[: len(labels)], shuffled[len(labels) :]
        found.append(posterior_discrepancy(halves[0], labels, halves[1], other_labels))
    return float(np.mean(found))


def match_classes(
    labels: np.ndarray, others: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return positions in two domains with equally many images of every class in both.

    So a classifier cannot tell the domains apart by how often a class occurs.
    """
    rng = np.random.RandomState(seed)
    mine, theirs = [np.empty(0, dtype=int)], [np.empty(0, dtype=int)]
    for k in np.intersect1d(labels, others):
        places = [rng.permutation(np.flatnonzero(values == k)) for values in (labels, others)]
        number = min(map(len, places))
        mine.append(places[0][:number])
        theirs.append(places[1][:number])
    return np.concatenate(mine), np.concatenate(theirs)
