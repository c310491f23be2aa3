"""The algorithms of the embedded testbed: a family of algorithms a file.

:mod:`ndcl_domainbed.registry` knows all algorithms, NDCL included.
"""

from __future__ import annotations

import functools

from imbalance_splits.discovery import find_classes
from ndcl_domainbed.hparams import declares_hparams


@functools.cache
def classes() -> dict[str, type]:
    """Return all algorithm classes of this package by name, sorted."""
    from ndcl_domainbed.testbed.algorithms.base import Algorithm

    return find_classes(__name__, "algorithms", Algorithm, declares_hparams, elsewhere=False)
