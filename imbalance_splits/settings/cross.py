"""Cross: domains tailed in opposite directions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from imbalance_splits.settings.base import Counts, descending, sources_by_total
from imbalance_splits.settings.tails import OpposedTails
from imbalance_splits.table import TrainCounts


@dataclass(frozen=True, kw_only=True)
class Cross(OpposedTails):
    """Half of the sources tailed one way, half the other; of an odd number, the smallest is flat.

    The flat domain gets ``middle`` times the mean count of the others for each class, or what
    its scarcest class allows. Source: the tables published with NDCL (Cao, Liu, Chen, ICML 2026).
    """

    middle: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 < self.middle < math.inf, "middle", "> 0 and finite")

    def train_counts(self, usable: Counts) -> TrainCounts:
        return {target: self._target(usable, target) for target in usable}

    def _target(self, usable: Counts, target: str) -> Counts:
        sources = sources_by_total(usable, target)
        half = len(sources) // 2
        flat = sources[: len(sources) - 2 * half]
        positive = sources[len(flat) : len(flat) + half]
        negative = sources[len(flat) + half :]
        order = descending(usable[positive[0]])
        counts = self.positive_tails(usable, positive, order)
        for rank, domain in enumerate(negative):
            counts[domain] = self.tail(usable[domain], order[::-1], rank)
        means = [np.mean([counts[domain][name] for domain in counts]) for name in order]
        level = self.middle * float(np.mean(means))
        for domain in flat:
            present = [images for images in usable[domain].values() if images]
            scarcest = min(int((1 - self.q) * images) for images in present)
            counts[domain] = dict.fromkeys(order, max(int(min(scarcest, level)), self.lower))
        return counts
