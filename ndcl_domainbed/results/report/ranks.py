"""Ranks, comparisons and performance profiles for the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ndcl_domainbed.results import names, statistics
from ndcl_domainbed.results.cells import Cells, iterate_cells
from ndcl_domainbed.results.leaderboards import Leaderboards
from ndcl_domainbed.results.rank_diagram import draw
from ndcl_domainbed.results.statistics_tables import describe_cells, warn_of_few_cells

PROFILE_STEP = 2


def ranks_data(built: Sequence[Leaderboards], reference: str) -> dict[str, Any]:
    """Return network -> criterion -> measure -> ranks, tests, the reference against the others."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for criterion, metric, cells in iterate_cells(built, names.METRICS):
        here = found.setdefault(cells.network, {}).setdefault(criterion, {})
        here[metric] = _pack_ranks(cells, reference)
    return found


def _pack_ranks(cells: Cells, reference: str) -> dict[str, Any]:
    svg = draw(statistics.average_ranks(cells.figures), cells.p, reference, "svg").decode()
    profile = statistics.performance_profile(cells.runs, range(0, 101, PROFILE_STEP))
    return {
        "diagram": svg[svg.index("<svg") :],
        "cells": describe_cells(cells),
        "notes": [*cells.dropped, *warn_of_few_cells(cells)],
        "summaries": [_pack(one) for one in statistics.summarize(cells)],
        "compared": [_pack(one) for one in statistics.compare(cells, reference)],
        "profile": {
            "thresholds": list(profile.index),
            "shares": {name: profile[name].round(3).tolist() for name in profile},
        },
    }


def _pack(one: Any) -> dict[str, Any]:
    """Return a summary or comparison with null for NaN, an estimate as [value, low, high]."""
    return {
        name: [_without_nan(part) for part in value.values()]
        if isinstance(value, dict)
        else _without_nan(value)
        for name, value in asdict(one).items()
    }


def _without_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
