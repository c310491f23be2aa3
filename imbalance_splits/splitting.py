"""From training counts and a seed to the image indices of a domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imbalance_splits.errors import InputError


@dataclass(frozen=True)
class DomainIndices:
    """Disjoint int64 indices into a domain; together they are the whole domain."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_domain(
    labels: Sequence[int] | np.ndarray,
    train_counts: Sequence[int] | np.ndarray,
    validation: int,
    seed: int,
    *,
    domain: str = "",
    classes: Sequence[str] | None = None,
) -> DomainIndices:
    """Return the training, validation and test indices of a source domain.

    ``labels`` (N) are the domain's classes in the order of its images, ``train_counts`` (K) the
    training images of each class. The indices of each class are shuffled by a fresh
    RandomState(seed); the first ``train_counts[k]`` are for training, the next ``validation``
    for validation, the rest for testing; the classes are concatenated in order. The rest of a
    class may be empty: one class of the published Duality table of VLCS has 14 images, 9 for
    training and 5 for validation. A class with no image takes no part if none is asked for.
    Raises InputError, with ``domain`` and the name of the class from ``classes``, where a class
    has fewer images than are asked for.
    """
    labels = np.asarray(labels, dtype=np.int64)
    wanted = np.asarray(train_counts, dtype=np.int64)
    if labels.size and not 0 <= labels.min() <= labels.max() < len(wanted):
        raise InputError(
            f"domain {domain}: labels from {labels.min()} to {labels.max()}, "
            f"but the split has {len(wanted)} classes."
        )
    available = np.bincount(labels, minlength=len(wanted))
    _check_enough(wanted, available, validation, domain, classes)
    by_class = np.split(np.argsort(labels, kind="stable"), np.cumsum(available)[:-1])
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    for indices, count in zip(by_class, wanted.tolist(), strict=True):
        np.random.RandomState(seed).shuffle(indices)
        for part, piece in zip(parts, np.split(indices, [count, count + validation]), strict=True):
            part.append(piece)
    return DomainIndices(*(np.concatenate(part) for part in parts))


def holdout_split(size: int, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return DomainBed's split of ``size`` images: (rest, held out), int64.

    The first ``int(size * fraction)`` positions of a shuffle by RandomState(seed) are held out.
    Raises InputError unless 0 <= ``fraction`` < 1.
    """
    if not 0 <= fraction < 1:
        raise InputError(f"held-out fraction {fraction}: it must be in [0, 1).")
    keys = np.arange(size, dtype=np.int64)
    np.random.RandomState(seed).shuffle(keys)
    held = int(size * fraction)
    return keys[held:], keys[:held]


def split_rest(
    rest: np.ndarray, fraction: float, seed: int, *, domain: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    """Return which of the indices left over to train on without labels, and the others.

    The first ``int(len(rest) * fraction)`` of a shuffle by RandomState(seed); with ``fraction`` 0
    none, and ``rest`` as it is. Raises InputError if a ``fraction`` above 0 is no whole image.
    """
    if fraction == 0:
        return rest[:0], rest
    order = np.random.RandomState(seed).permutation(rest)
    number = int(len(rest) * fraction)
    if number == 0:
        raise InputError(
            f"unlabeled_fraction {fraction} of the {len(rest)} images that domain {domain} has "
            "left over rounds down to no image. Use a larger share."
        )
    return order[:number], order[number:]


def _check_enough(
    wanted: np.ndarray,
    available: np.ndarray,
    validation: int,
    domain: str,
    classes: Sequence[str] | None,
) -> None:
    """Raise InputError for the first class that has too few images, and count the others."""
    if validation < 0 or (wanted < 0).any():
        raise InputError(f"domain {domain}: training and validation counts must be >= 0.")
    absent = (available == 0) & (wanted == 0)
    short = np.flatnonzero((wanted + validation > available) & ~absent)
    if not short.size:
        return
    first = int(short[0])
    name = classes[first] if classes is not None else first
    others = f" (and {short.size - 1} more of its classes)" if short.size > 1 else ""
    raise InputError(
        f"domain {domain}, class {name}: {wanted[first]} training and {validation} validation "
        f"images asked for, but it has {available[first]}{others}.\n"
        "Use a table with smaller counts or fewer validation images: splits make generates one."
    )
