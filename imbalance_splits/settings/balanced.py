"""Balanced: every class and every domain the same."""

from __future__ import annotations

from dataclasses import dataclass

from imbalance_splits.settings.base import Counts, GeneratedSetting
from imbalance_splits.table import TrainCounts


@dataclass(frozen=True, kw_only=True)
class Balanced(GeneratedSetting):
    """The same count for every source and class: what the scarcest pair of the sources allows."""

    def train_counts(self, usable: Counts) -> TrainCounts:
        """Return the training counts of every target."""
        table: TrainCounts = {}
        for target in usable:
            sources = [domain for domain in usable if domain != target]
            present = [images for d in sources for images in usable[d].values() if images]
            count = max(int(min(present) * (1 - self.q)), self.lower)
            table[target] = {domain: dict.fromkeys(usable[domain], count) for domain in sources}
        return table
