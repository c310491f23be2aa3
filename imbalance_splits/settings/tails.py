"""The long tail that settings share, and domains tailed in opposite directions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from imbalance_splits.settings.base import Counts, GeneratedSetting


@lru_cache(maxsize=64)
def tail_profile(length: int, shape: float) -> tuple[float, ...]:
    """Return ``length`` shares of a long tail; they add up to 1 and never rise after the first.

    The log-logistic (Fisk) density with ``shape`` c > 1 at points evenly spaced from 1 / mean to
    the 0.99 quantile, divided by its sum. It is SciPy's: the closed forms differ in the last
    bit, and one cell of the published tables shows it.
    """
    from scipy.stats import fisk

    points = np.linspace(1 / fisk.mean(shape), fisk.ppf(0.99, shape), length)
    density = fisk.pdf(points, shape)
    return tuple((density / density.sum()).tolist())


@dataclass(frozen=True, kw_only=True)
class OpposedTails(GeneratedSetting):
    """A setting in which some domains have few images of the classes that others have many of.

    ``c`` is the shape of the first tail of either direction; the j-th has shape c (j + 1).
    """

    c: float = 3.0

    least_sources = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(1 < self.c < math.inf, "c", "> 1 and finite")

    def fit(self, wanted: float, available: int) -> int:
        """Return ``wanted`` as a count, within ``lower`` and the share that may be trained on."""
        return int(max(min(wanted, available * (1 - self.q)), self.lower))

    def tail(
        self, row: dict[str, int], order: list[str], rank: int, size: float | None = None
    ) -> dict[str, int]:
        """Return class -> count of the rank-th tail, whose head is the first of ``order``.

        It runs over the classes that the domain has. ``size`` is the sum of the unclipped tail;
        None: that at which its head takes all that may be trained on.
        """
        absent = {name: 0 for name in order if not row[name]}
        order = [name for name in order if row[name]]
        shares = tail_profile(len(order), self.c * (rank + 1))
        if size is None:
            size = row[order[0]] * (1 - self.q) / shares[0]
        return absent | {
            name: self.fit(size * share, row[name])
            for name, share in zip(order, shares, strict=True)
        }

    def positive_tails(self, usable: Counts, domains: list[str], order: list[str]) -> Counts:
        """Return domain -> class -> count for the domains tailed along ``order``."""
        return {d: self.tail(usable[d], order, rank) for rank, d in enumerate(domains)}
