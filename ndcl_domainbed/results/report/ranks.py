"""Ranks and comparisons for the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ndcl_domainbed.results import names, statistics
from ndcl_domainbed.results.leaderboards import Leaderboards
from ndcl_domainbed.results.rank_diagram import draw


def ranks_data(built: Sequence[Leaderboards], reference: str) -> dict[str, Any]:
    """Return network -> criterion -> measure -> ranks, tests, the reference against the others."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for criterion, metric, cells in statistics.iterate_cells(built, names.METRICS):
        here = found.setdefault(cells.network, {}).setdefault(criterion, {})
        here[metric] = _pack_ranks(cells, reference)
    return found


def _pack_ranks(cells: statistics.Cells, reference: str) -> dict[str, Any]:
    figures = cells.figures
    ranks = statistics.rank(figures)
    compared = statistics.compare(figures, reference)
    svg = draw(ranks, reference, "svg").decode()
    return {
        "diagram": svg[svg.index("<svg") :],
        "cells": ranks.n_cells,
        "p": _without_nan(ranks.p),
        "notes": [*cells.dropped, *statistics.warn_of_few_cells(ranks.n_cells, figures.shape[1])],
        "compared": [
            {name: _without_nan(value) for name, value in asdict(comparison).items()}
            for comparison in compared
        ],
    }


def _without_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
