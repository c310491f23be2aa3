"""The chosen hyper-parameters for the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ndcl_domainbed.results.chosen import behind
from ndcl_domainbed.results.leaderboards import Leaderboards
from ndcl_domainbed.results.reading import Sweep
from ndcl_domainbed.results.report.boards import key_of


def hparams_data(sweep: Sweep, built: Sequence[Leaderboards]) -> dict[str, Any]:
    """Return the table that is written beside --output too: columns, rows, and their boards."""
    table = behind(sweep, built)
    return {
        "columns": list(table.columns),
        "rows": table.astype(object).to_numpy().tolist(),
        "boards": [key_of(*pair) for pair in zip(table["dataset"], table["setting"], strict=True)],
    }
