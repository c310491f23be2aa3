"""The algorithms of the embedded testbed: a family of algorithms a file.

``ALGORITHMS`` and :func:`get_algorithm_class` are what DomainBed's module of this name has. They
know the testbed's own algorithms; :mod:`ndcl_domainbed.registry` knows all, NDCL included.
"""

from __future__ import annotations

import functools

from imbalance_splits.discovery import find_classes
from imbalance_splits.errors import unknown_name
from ndcl_domainbed.hparams import declares_hparams


@functools.cache
def classes() -> dict[str, type]:
    """Return all algorithm classes of this package by name, sorted."""
    from ndcl_domainbed.testbed.algorithms.base import Algorithm

    return find_classes(__name__, "algorithms", Algorithm, declares_hparams, elsewhere=False)


def get_algorithm_class(name: str) -> type:
    """Return the class of the algorithm ``name``; InputError if there is none."""
    if name not in classes():
        raise unknown_name("algorithm", name, classes())
    return classes()[name]


def __getattr__(name: str) -> list[str]:
    """Return ``ALGORITHMS``, the names, when it is asked for: it takes importing them all."""
    if name == "ALGORITHMS":
        return list(classes())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
