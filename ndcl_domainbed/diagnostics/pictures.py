"""What the pictures of all diagnostics share: colours, and a figure without a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imbalance_splits.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RUN_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""The colours of the runs, in order (Okabe and Ito): told apart with any colour vision."""

RUN_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""The markers of the runs, so that they are told apart without colour too."""


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of so many inches; InputError if matplotlib is missing."""
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


def style_of(run: int) -> dict[str, Any]:
    """Return colour and marker of the run with the index ``run``, for matplotlib."""
    return {
        "color": RUN_COLOURS[run % len(RUN_COLOURS)],
        "marker": RUN_MARKERS[run % len(RUN_MARKERS)],
    }


def use_log_scale(axis: Any, which: str) -> None:
    """Give the axis ``which`` ("x" or "y") of what is drawn a log scale, if any point is above 0.

    A short run may have no point to show; matplotlib cannot draw a log scale then.
    """
    points = [np.asarray(line.get_xydata(), dtype=float) for line in axis.get_lines()]
    drawn = np.concatenate([np.empty((0, 2)), *points])
    drawn = drawn[np.isfinite(drawn).all(axis=1), "xy".index(which)]
    axis.set(**{f"{which}scale": "log" if (drawn > 0).any() else "linear"})
