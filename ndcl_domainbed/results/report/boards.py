"""Leaderboards for the page: every criterion, board and measure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ndcl_domainbed.results import names
from ndcl_domainbed.results.labels import network_in
from ndcl_domainbed.results.leaderboards import Leaderboards, SelectedBoard
from ndcl_domainbed.results.legend import board_legend
from ndcl_domainbed.results.selection import CRITERIA
from ndcl_domainbed.results.tables import Cell, Row

Packed = list[float] | int
"""A figure as [mean, error, trials], or the number of the reason why there is none.

A reason is a pair: the reason, and its details."""


class Packer:
    """Packs figures, rounded as in all tables, and numbers the reasons where there are none."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[str, str], int] = {}

    def pack_rows(self, rows: Sequence[Row]) -> list[list[Packed]]:
        """Return the cells of ``rows`` as the page has them."""
        return [[self._pack(cell) for cell in cells] for _, cells in rows]

    def _pack(self, cell: Cell) -> Packed:
        if cell.mean is None:
            return self.numbers.setdefault((cell.reason, cell.details), len(self.numbers))
        return [float(f"{cell.mean:.1f}"), float(f"{cell.error or 0.0:.1f}"), cell.trials]


def boards_data(built: Sequence[Leaderboards]) -> dict[str, Any]:
    """Return criteria, measures, boards, and the figures: criterion -> board -> rows."""
    packer = Packer()
    boards = {_key(one): _describe_board(one) for result in built for one in result.boards}
    return {
        "criteria": [
            {"key": result.criterion, "title": CRITERIA[result.criterion].title} for result in built
        ],
        "metrics": [{"key": key, "title": names.METRIC_TITLES[key]} for key in names.METRICS],
        "boards": list(boards.values()),
        "figures": {
            result.criterion: {_key(one): _pack_figures(one, packer) for one in result.boards}
            for result in built
        },
        "reasons": list(packer.numbers),
    }


def key_of(dataset: str, setting: str) -> str:
    """Return the key of a board on the page.

    >>> key_of("PACS", "none"), key_of("PACS", "Cross")
    ('PACS', 'PACS / Cross')
    """
    return dataset if setting == names.NO_SETTING else f"{dataset} / {setting}"


def _key(one: SelectedBoard) -> str:
    return key_of(one.board.dataset, one.board.setting)


def _describe_board(one: SelectedBoard) -> dict[str, Any]:
    board = one.board
    return {
        "key": _key(one),
        "dataset": board.dataset,
        "setting": board.setting,
        "network": network_in(board.dataset),
        "domains": board.domains,
        "thresholds": board.info.threshold_lines(board.domains),
        "legend": board_legend(board.dataset, board.fixed),
    }


def _pack_figures(one: SelectedBoard, packer: Packer) -> dict[str, Any]:
    """Return algorithms, and in their order: measure -> rows over domains, and rows of measures."""
    metrics = [name for name in names.METRICS if one.selected[name].notna().any()] or ["overall"]
    return {
        "algorithms": one.board.algorithms,
        "metrics": metrics,
        "domains": {metric: packer.pack_rows(one.domain_rows(metric)) for metric in metrics},
        "measures": packer.pack_rows(one.measure_rows(metrics)),
        "over": [one.board.domains[env] for env in one.envs],
    }
