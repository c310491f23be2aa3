"""Imbalanced splits of multi-domain datasets, exact and reproducible.

Label counts become training counts (``settings``), training counts and a seed become image
indices (``splitting``), and training counts become Many / Medium / Few groups (``shots``).
``datasets`` wraps any dataset that follows DomainBed's contract; it alone imports torch.

``make_imbalance`` does all of it at once, for anything that has labels.

>>> from imbalance_splits import table_for
>>> table_for("PACS", "TotalHeavyTail").train_counts["S"]["P"]["dog"]
85
"""

from __future__ import annotations

from imbalance_splits.errors import InputError
from imbalance_splits.imbalance import ImbalancedSplit, make_imbalance
from imbalance_splits.make_table import table_for
from imbalance_splits.table import SplitTable, Thresholds

__all__ = [
    "ImbalancedSplit",
    "InputError",
    "SplitTable",
    "Thresholds",
    "make_imbalance",
    "table_for",
]
