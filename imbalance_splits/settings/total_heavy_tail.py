"""TotalHeavyTail: one long tail over the pooled source domains."""

from __future__ import annotations

import math
from dataclasses import dataclass

from imbalance_splits.settings.base import Counts, GeneratedSetting, descending
from imbalance_splits.settings.tails import tail_profile
from imbalance_splits.table import TrainCounts


@dataclass(frozen=True, kw_only=True)
class TotalHeavyTail(GeneratedSetting):
    """One long tail over the pooled sources; the domain mix of each class is kept.

    ``c`` is the tail's shape: the larger, the steeper. Source: Cao, Liu, Chen, "Negatives-Dominant
    Contrastive Learning for Generalization in Imbalanced Domains", ICML 2026.
    """

    c: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(1 < self.c < math.inf, "c", "> 1 and finite")

    def train_counts(self, usable: Counts) -> TrainCounts:
        return {target: self._target(usable, target) for target in usable}

    def _target(self, usable: Counts, target: str) -> Counts:
        """Return source -> class -> count. The order of the operations decides the last bit."""
        sources = [domain for domain in usable if domain != target]
        pooled = {name: sum(usable[d][name] for d in sources) for name in usable[target]}
        shares = tail_profile(len(pooled), self.c)
        order = descending(pooled)
        whole = (1 - self.q) * pooled[order[0]] / shares[0]
        counts: Counts = {domain: {} for domain in sources}
        for rank, name in enumerate(order):
            images = pooled[name]
            expected = (1 - self.q) * images if rank == 0 else whole * shares[rank]
            if expected > images:
                expected = images * (1 - self.q)
            for domain in sources:
                here = usable[domain][name]
                count = int(expected * (here / images)) if here else 0
                if count >= here:
                    count = int(here * (1 - self.q))
                counts[domain][name] = max(count, self.lower)
        return counts
