"""From runs to tables: reading, model selection, leaderboards, statistics, report.

>>> from ndcl_domainbed.results import load, select, leaderboard  # doctest: +SKIP
>>> records = load("my_sweep")                                    # doctest: +SKIP
>>> leaderboard(records, "balanced", dataset="PACS")              # doctest: +SKIP

Nothing is imported before it is asked for, and nothing here imports torch.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "load": "reading",
    "read_sweep": "reading",
    "select": "selection",
    "criterion_names": "selection",
    "leaderboard": "notebook",
}

__all__ = ["criterion_names", "leaderboard", "load", "read_sweep", "select"]


def __getattr__(name: str) -> Any:
    """Import a public function on first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
