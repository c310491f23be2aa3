"""Leaderboards and statistics for the page: every criterion, board, network and measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ndcl_domainbed.results import names, statistics
from ndcl_domainbed.results.boards import Board
from ndcl_domainbed.results.cells import Cells, iterate_cells
from ndcl_domainbed.results.labels import network_in
from ndcl_domainbed.results.leaderboards import Leaderboards
from ndcl_domainbed.results.legend import board_legend
from ndcl_domainbed.results.rank_diagram import draw
from ndcl_domainbed.results.selection import CRITERIA
from ndcl_domainbed.results.statistics_tables import describe_cells, warn_of_few_cells
from ndcl_domainbed.results.tables import Row

PROFILE_STEP = 2

Packed = list[float] | int
"""A figure as [mean, error, trials], or the number of the reason why there is none."""


def _pack_rows(rows: Sequence[Row], reasons: dict[str, int]) -> list[list[Packed]]:
    """Return the cells of ``rows``, rounded as in all tables; new reasons get the next numbers."""
    return [
        [
            [float(f"{cell.mean:.1f}"), float(f"{cell.error or 0.0:.1f}"), cell.trials]
            if cell.mean is not None
            else reasons.setdefault(cell.reason, len(reasons))
            for cell in cells
        ]
        for _, cells in rows
    ]


def boards_data(built: Sequence[Leaderboards]) -> dict[str, Any]:
    """Return criteria, measures, boards, and the figures: criterion -> board -> rows."""
    reasons: dict[str, int] = {}
    boards = {key_of(board): _describe_board(board) for result in built for board in result.boards}
    return {
        "criteria": [
            {"key": result.criterion, "title": CRITERIA[result.criterion].title} for result in built
        ],
        "metrics": [{"key": key, "title": names.METRIC_TITLES[key]} for key in names.METRICS],
        "boards": list(boards.values()),
        "figures": {
            result.criterion: {
                key_of(board): _pack_figures(board, reasons) for board in result.boards
            }
            for result in built
        },
        "reasons": list(reasons),
    }


def board_key(dataset: str, setting: str) -> str:
    """Return the key of a board on the page.

    >>> board_key("PACS", "none"), board_key("PACS", "Cross")
    ('PACS', 'PACS / Cross')
    """
    return dataset if setting == names.NO_SETTING else f"{dataset} / {setting}"


def key_of(board: Board) -> str:
    """Return the key of ``board`` on the page."""
    return board_key(board.dataset, board.setting)


def _describe_board(board: Board) -> dict[str, Any]:
    return {
        "key": key_of(board),
        "dataset": board.dataset,
        "setting": board.setting,
        "network": network_in(board.dataset),
        "domains": board.domains,
        "thresholds": board.info.threshold_lines(board.domains),
        "legend": board_legend(board.dataset, board.fixed),
    }


def _pack_figures(board: Board, reasons: dict[str, int]) -> dict[str, Any]:
    """Return algorithms, and in their order: measure -> rows over domains, and rows of measures."""
    metrics = [name for name in names.METRICS if board.selected[name].notna().any()] or ["overall"]
    return {
        "algorithms": board.algorithms,
        "metrics": metrics,
        "domains": {metric: _pack_rows(board.domain_rows(metric), reasons) for metric in metrics},
        "measures": _pack_rows(board.measure_rows(metrics), reasons),
        "lost": _pack_rows(board.lost_rows(), reasons),
        "over": board.envs_text,
        "notes": [*board.lost_lines(), *board.average_notes()],
    }


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
