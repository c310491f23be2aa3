"""The algorithms that this project adds to DomainBed's: an algorithm a file.

They derive from the classes of the backend in use, so they run on a real DomainBed too.
"""

from __future__ import annotations

import functools
import sys


@functools.cache
def classes() -> dict[str, type]:
    """Return all algorithm classes of this package by name, sorted."""
    from ndcl_domainbed.backend import Algorithm
    from ndcl_domainbed.testbed.algorithms.discovery import discover

    return discover(sys.modules[__name__], Algorithm)
