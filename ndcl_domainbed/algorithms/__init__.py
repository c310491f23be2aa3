"""The algorithms that this project adds to DomainBed's: an algorithm a file.

They derive from the classes of the backend in use, so they run on a real DomainBed too.
"""

from __future__ import annotations

from imbalance_splits.discovery import cached, find_classes
from ndcl_domainbed.hparams import declares_hparams


@cached
def classes() -> dict[str, type]:
    """Return all algorithm classes of this package by name, sorted, and those from elsewhere.

    Elsewhere: the entry points 'ndcl_domainbed.algorithms' of installed packages, and the files
    that :data:`~imbalance_splits.discovery.OWN_CODE` names.
    """
    from ndcl_domainbed.backend import Algorithm

    return find_classes(__name__, "algorithms", Algorithm, declares_hparams)
