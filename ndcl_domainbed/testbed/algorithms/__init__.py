"""The algorithms of the embedded testbed: a family of algorithms a file."""

from __future__ import annotations

import functools
import sys


@functools.cache
def classes() -> dict[str, type]:
    """Return all algorithm classes of this package by name, sorted."""
    from ndcl_domainbed.testbed.algorithms.base import Algorithm
    from ndcl_domainbed.testbed.algorithms.discovery import discover

    return discover(sys.modules[__name__], Algorithm)
