"""Leaderboards for the page: every criterion, board and measure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ndcl_domainbed.results import names, tables
from ndcl_domainbed.results.labels import network_in
from ndcl_domainbed.results.leaderboards import Leaderboards, View
from ndcl_domainbed.results.legend import board_legend
from ndcl_domainbed.results.selection import CRITERIA
from ndcl_domainbed.results.tables import Cell

Packed = list[float] | int
"""A figure as [mean, error, trials], or the number of the reason why there is none.

A reason is a pair: the reason, and what more there is to say."""


class Packer:
    """Packs figures, rounded as in all tables, and numbers the reasons where there are none."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[str, str], int] = {}

    def packed(self, cell: Cell) -> Packed:
        """Return ``cell`` as the page has it."""
        if cell.mean is None:
            return self.numbers.setdefault((cell.reason, cell.details), len(self.numbers))
        return [float(f"{cell.mean:.1f}"), float(f"{cell.error or 0.0:.1f}"), cell.trials]


def boards_data(built: Sequence[Leaderboards]) -> dict[str, Any]:
    """Return criteria, measures, boards, and the figures: criterion -> board -> rows."""
    packer = Packer()
    keys = list(dict.fromkeys(_key(view) for one in built for view in one.views))
    boards = {_key(view): _board(view) for one in built for view in one.views}
    return {
        "criteria": [
            {"key": one.criterion, "title": CRITERIA[one.criterion].title} for one in built
        ],
        "metrics": [{"key": key, "title": names.METRIC_TITLES[key]} for key in names.METRICS],
        "boards": [boards[key] for key in keys],
        "figures": {
            one.criterion: {_key(view): _figures(view, packer) for view in one.views}
            for one in built
        },
        "reasons": list(packer.numbers),
    }


def key_of(dataset: str, setting: str) -> str:
    """Return the key of a board on the page.

    >>> key_of("PACS", "none"), key_of("PACS", "Cross")
    ('PACS', 'PACS / Cross')
    """
    return dataset if setting == names.NO_SETTING else f"{dataset} / {setting}"


def _key(view: View) -> str:
    return key_of(view.place.board.dataset, view.place.board.setting)


def _board(view: View) -> dict[str, Any]:
    place = view.place
    return {
        "key": _key(view),
        "dataset": place.board.dataset,
        "setting": place.board.setting,
        "network": network_in(place.board.dataset),
        "domains": place.domains,
        "thresholds": place.info.threshold_lines(place.domains),
        "legend": board_legend(place.board.dataset, place.fixed),
    }


def _figures(view: View, packer: Packer) -> dict[str, Any]:
    """Return algorithms, and in their order: measure -> rows over domains, and rows of measures."""
    place, selected = view.place, view.selected
    metrics = [name for name in names.METRICS if selected[name].notna().any()] or ["overall"]
    by_domain = {
        metric: [
            [packer.packed(cell) for cell in cells]
            for _, cells in tables.domain_rows(
                selected, place.algorithms, len(place.domains), metric, view.behind
            )
        ]
        for metric in metrics
    }
    measures = view.measure_rows(metrics)
    return {
        "algorithms": place.algorithms,
        "metrics": metrics,
        "domains": by_domain,
        "measures": [[packer.packed(cell) for cell in cells] for _, cells in measures],
        "over": [place.domains[env] for env in view.envs],
    }
