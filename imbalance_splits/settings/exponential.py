"""Exponential: the usual long-tailed benchmark profile."""

from __future__ import annotations

import math
from dataclasses import dataclass

from imbalance_splits.settings.base import Counts, GeneratedSetting, descending
from imbalance_splits.table import TrainCounts


@dataclass(frozen=True, kw_only=True)
class Exponential(GeneratedSetting):
    """Every source tailed along the same classes, from most to least by the imbalance ``factor``.

    The i-th of K classes, sorted by their images in all sources, gets n factor^(-i / (K - 1)),
    truncated; n is as large as the domain's images allow. Source of the profile: Cui et al.,
    "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019, section 5.1.
    """

    factor: float = 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(1 <= self.factor < math.inf, "factor", ">= 1 and finite")

    def train_counts(self, usable: Counts) -> TrainCounts:
        return {target: self._target(usable, target) for target in usable}

    def _target(self, usable: Counts, target: str) -> Counts:
        sources = [domain for domain in usable if domain != target]
        order = descending({k: sum(usable[d][k] for d in sources) for k in usable[target]})
        last = max(len(order) - 1, 1)
        shares = [self.factor ** (-rank / last) for rank in range(len(order))]
        counts: Counts = {}
        for domain in sources:
            room = [usable[domain][name] * (1 - self.q) for name in order]
            head = min(here / share for here, share in zip(room, shares, strict=True) if here)
            counts[domain] = {
                name: max(int(min(head * share, here)), self.lower)
                for name, share, here in zip(order, shares, room, strict=True)
            }
        return counts
