"""The long tail that the settings share."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


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
