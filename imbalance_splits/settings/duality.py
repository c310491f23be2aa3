"""Duality: long-tailed, reversed and scarce domains at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from imbalance_splits.settings.base import Counts, descending, sources_by_total
from imbalance_splits.settings.tails import OpposedTails
from imbalance_splits.table import LabelCounts, TrainCounts


@dataclass(frozen=True, kw_only=True)
class Duality(OpposedTails):
    """The smallest sources long-tailed, the next reversed at a random size, the largest scarce.

    A scarce domain has about n images in all, n drawn from ``middle_range`` (both ends count;
    at least one image a class). A reversed domain has b U + (1 - b) n, where U is the number of
    training images of the largest long-tailed domain and b ~ Beta(0.5, 0.5). ``seed`` starts the
    draws, which go through the targets in the order of the label counts. Source: Cao, Liu, Chen,
    "Negatives-Dominant Contrastive Learning for Generalization in Imbalanced Domains", ICML 2026.
    """

    middle_range: tuple[int, int] = (40, 50)
    seed: int = 20240101

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = len(self.middle_range) == 2
        fits = fits and 0 < self.middle_range[0] <= self.middle_range[1] < 2**31
        self.require(fits, "middle_range", "two whole numbers, 0 < low <= high < 2**31")
        self.require(0 <= self.seed < 2**32, "seed", "in [0, 2**32)")

    def train_counts(self, usable: Counts) -> TrainCounts:
        rng = np.random.RandomState(self.seed)
        return {target: self._target(usable, target, rng) for target in usable}

    def _target(self, usable: Counts, target: str, rng: np.random.RandomState) -> Counts:
        positive, negative, scarce = duality_roles(usable, target)
        order = descending(usable[positive[0]])
        counts = self.positive_tails(usable, positive, order)
        largest = max(sum(counts[domain].values()) for domain in positive)
        low, high = self.middle_range
        few = max(int(rng.randint(low, high + 1)), len(order))
        for domain in scarce:
            level = max(math.ceil(few / len(order)), self.lower)
            counts[domain] = {name: min(level, usable[domain][name]) for name in order}
        for rank, domain in enumerate(negative):
            size = round(rng.beta(0.5, 0.5) * (largest - few) + few)
            counts[domain] = self.tail(usable[domain], order[::-1], rank, size)
        return counts


def duality_roles(counts: LabelCounts, target: str) -> tuple[list[str], list[str], list[str]]:
    """Return the long-tailed, the reversed and the scarce sources of ``target``.

    The roles follow the number of images; ``counts`` are without those for validation.
    """
    sources = sources_by_total(counts, target)
    third = round(len(sources) / 3)
    return sources[:third], sources[third : len(sources) - third], sources[len(sources) - third :]
