"""The report: one HTML page, with everything in it, to look at, to print, to pass on."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

import orjson

from imbalance_splits.errors import needs_package
from ndcl_domainbed.results import cost
from ndcl_domainbed.results.chosen import selected_hparams
from ndcl_domainbed.results.leaderboards import Leaderboards
from ndcl_domainbed.results.reading import Sweep
from ndcl_domainbed.results.report.boards import board_key, boards_data, key_of, ranks_data
from ndcl_domainbed.results.report.provenance import describe_provenance
from ndcl_domainbed.results.report.runs import runs_data
from ndcl_domainbed.results.statistics_tables import MEANINGS

SCRIPTS = ("core", "leaderboard", "charts", "runs", "ranks", "hparams", "costs", "main")


def page(
    sweep: Sweep,
    built: Sequence[Leaderboards],
    reference: str = "NDCL",
    *,
    partial: bool = False,
) -> str:
    """Return the page as text. It needs no network, and shows what ``built`` has.

    ``partial``: whether runs that are not done count in ``built``.

    Raises InputError if jinja2 or matplotlib is missing.
    """
    with needs_package("the report needs jinja2: pip install 'ndcl-domainbed[report]'"):
        from jinja2 import Environment
    data = {
        **boards_data(built),
        **runs_data(sweep, built),
        "ranks": ranks_data(built, reference),
        "meanings": MEANINGS,
        "hparams": _hparams_data(sweep, built),
        "costs": _costs_data(sweep, built),
        "reference": reference,
        "made": describe_provenance(sweep, partial=partial),
    }
    environment = Environment(autoescape=True)
    return environment.from_string(_read_template("report.html")).render(
        style=_read_template("report.css"),
        scripts=[_read_template(f"{name}.js") for name in SCRIPTS],
        data=orjson.dumps(data).decode().replace("<", "\\u003c"),
        made=data["made"],
    )


def _hparams_data(sweep: Sweep, built: Sequence[Leaderboards]) -> dict[str, Any]:
    """Return the table that is written beside --output too: columns, rows, and their boards."""
    table = selected_hparams(sweep, built)
    return {
        "columns": list(table.columns),
        "rows": table.astype(object).to_numpy().tolist(),
        "boards": [
            board_key(*pair) for pair in zip(table["dataset"], table["setting"], strict=True)
        ],
    }


def _costs_data(sweep: Sweep, built: Sequence[Leaderboards]) -> dict[str, Any]:
    """Return the columns of the table of costs, what they mean, and its rows by board."""
    rows = {
        key_of(board): [[name, *cells] for name, cells in costs.items()]
        for board, costs in cost.compute_costs(sweep, built)
    }
    return {"columns": cost.COLUMNS, "meaning": cost.MEANING, "rows": rows}


def _read_template(name: str) -> str:
    folder = resources.files("ndcl_domainbed.results.report") / "templates"
    return (folder / name).read_text(encoding="utf-8")
