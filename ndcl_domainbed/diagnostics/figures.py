"""What the figures of all checks share: colors, markers, legends, scales."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

RUN_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""The colors of the runs (Okabe and Ito), which are distinct with any color vision."""

RUN_MARKERS = ("o", "s", "^", "D", "v", "P", "X")

RING = {"linestyle": "none", "marker": "o", "markersize": 11, "markerfacecolor": "none"}
"""The style of a ring around a highlighted marker."""


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, in inches, that needs no screen."""
    return Figure(figsize=(width, height), layout="constrained")


def run_style(run: int) -> dict[str, Any]:
    """Return color and marker of the run with the index ``run``."""
    return {
        "color": RUN_COLORS[run % len(RUN_COLORS)],
        "marker": RUN_MARKERS[run % len(RUN_MARKERS)],
    }


def layered_style(run: int) -> dict[str, Any]:
    """Return a style in which later runs are smaller, so that earlier ones stay visible."""
    return {
        **run_style(run),
        "markersize": max(4.0, 8.0 - 1.3 * run),
        "linewidth": max(1.0, 2.8 - 0.6 * run),
    }


def add_legend(figure: Figure, runs: Iterable[str], others: Mapping[str, dict[str, Any]]) -> None:
    """Add one legend below all panels: ``runs`` by name, ``others`` with their style."""
    styles: list[tuple[str, dict[str, Any]]] = [
        (name, {**layered_style(index), "linestyle": "none"}) for index, name in enumerate(runs)
    ]
    styles += [(name, {"color": "0.3", **style}) for name, style in others.items()]
    entries = [Line2D([], [], label=name, **style) for name, style in styles]
    figure.legend(handles=entries, loc="outside lower center", ncols=4)


def use_log_scale(axis: Any, which: str) -> None:
    """Use a log scale for ``which`` ("x" or "y") if any drawn point is above 0 there."""
    points = np.concatenate([np.asarray(line.get_xydata(), float) for line in axis.get_lines()])
    drawn = points[np.isfinite(points).all(axis=1), "xy".index(which)]
    if (drawn > 0).any():
        axis.set(**{f"{which}scale": "log"})


def spread_rows(runs: int, run: int) -> float:
    """Return how far to shift a run's markers, so that runs do not cover each other."""
    return 0.5 * (run + 0.5) / runs - 0.25


def label_rows(axis: Any, labels: list[str], marked: Iterable[str], mark: str) -> None:
    """Label the rows of a panel, the first at the top; ``mark`` goes below the ``marked``."""
    marked = set(marked)
    shown = [f"{label}\n({mark})" if label in marked else label for label in labels]
    axis.set_yticks(range(len(labels)), shown)
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.grid(axis="x", alpha=0.3)
