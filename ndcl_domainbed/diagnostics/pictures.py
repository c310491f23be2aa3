"""What the pictures of all checks share: colors, figures without a screen, legends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from imbalance_splits.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RUN_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""The colors of the runs (Okabe and Ito), which are distinct with any color vision."""

RUN_MARKERS = ("o", "s", "^", "D", "v", "P", "X")

RING = {"linestyle": "none", "marker": "o", "markersize": 11, "markerfacecolor": "none"}
"""The style of a ring around a highlighted marker."""


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure; its size is in inches. InputError if matplotlib is missing."""
    require_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def require_matplotlib() -> None:
    """Raise InputError if matplotlib is missing."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise InputError(
            "pictures need matplotlib: pip install 'ndcl-domainbed[diagnose]'"
        ) from None


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


def add_legend(
    figure: Figure, runs: Sequence[str], others: Mapping[str, Mapping[str, Any]]
) -> None:
    """Add one legend below all panels: ``runs`` by name, ``others`` with their style."""
    from matplotlib.lines import Line2D

    styles: list[tuple[str, dict[str, Any]]] = [
        (name, {"linestyle": "none", **layered_style(index)}) for index, name in enumerate(runs)
    ]
    styles += [(name, {"color": "0.3", **style}) for name, style in others.items()]
    entries = [Line2D([], [], label=name, **style) for name, style in styles]
    figure.legend(handles=entries, loc="outside lower center", ncols=4)


def use_log_scale(axis: Any, which: str) -> None:
    """Use a log scale for ``which`` ("x" or "y") if any drawn point is above 0 there."""
    points = [np.asarray(line.get_xydata(), dtype=float) for line in axis.get_lines()]
    drawn = np.concatenate([np.empty((0, 2)), *points])
    drawn = drawn[np.isfinite(drawn).all(axis=1), "xy".index(which)]
    axis.set(**{f"{which}scale": "log" if (drawn > 0).any() else "linear"})


def spread_rows(runs: int, run: int) -> float:
    """Return how far to shift a run's markers, so that runs do not cover each other."""
    return 0.5 * (run + 0.5) / runs - 0.25
