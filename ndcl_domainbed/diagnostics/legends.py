"""Runs that lie on each other in a picture, and one legend for all its panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ndcl_domainbed.diagnostics.pictures import style_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RING = {"linestyle": "none", "marker": "o", "markersize": 11, "markerfacecolor": "none"}
"""What goes around a mark that stands out, for matplotlib."""

_COLUMNS = 4


def layered_style(run: int) -> dict[str, Any]:
    """Return the style of a run: later runs are smaller, so that earlier ones show below them."""
    return {
        **style_of(run),
        "markersize": max(4.0, 8.0 - 1.3 * run),
        "linewidth": max(1.0, 2.8 - 0.6 * run),
    }


def add_legend(
    figure: Figure, runs: Sequence[str], others: Mapping[str, Mapping[str, Any]]
) -> None:
    """Add a legend below the panels: ``runs`` by name, ``others`` with their style."""
    from matplotlib.lines import Line2D

    styles: list[tuple[str, dict[str, Any]]] = [
        (name, {"linestyle": "none", **layered_style(index)}) for index, name in enumerate(runs)
    ]
    styles += [(name, {"color": "0.3", **style}) for name, style in others.items()]
    entries = [Line2D([], [], label=name, **style) for name, style in styles]
    figure.legend(handles=entries, loc="outside lower center", ncols=_COLUMNS)
