"""The diagram of average ranks, with bars over algorithms that do not differ significantly."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from imbalance_splits.errors import needs_package
from ndcl_domainbed.results.cells import iterate_cells
from ndcl_domainbed.results.statistics import ALPHA, average_ranks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ndcl_domainbed.results.leaderboards import Leaderboards

INK, SOFT, BLUE = "#1b1f24", "#59636e", "#0072b2"
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ranks",
    "font.size": 9,
    "text.parse_math": False,
}
_METADATA: dict[str, Any] = {
    "svg": dict.fromkeys(("Creator", "Date", "Format", "Type")),
    "pdf": {"CreationDate": None},
}


def draw(ranks: pd.Series, p: pd.DataFrame, reference: str, kind: str) -> bytes:
    """Return the diagram as a file of the ``kind`` svg or pdf, the same for the same ranks.

    ``p``: algorithms x algorithms, corrected. Raises InputError if a package is missing.
    """
    with needs_package("the diagrams of ranks need matplotlib: pip install matplotlib"):
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    file = io.BytesIO()
    with rc_context(_STYLE):
        figure = Figure(figsize=(max(5.0, 0.3 * len(ranks)), 1))
        axes = figure.add_axes((0, 0, 1, 1))
        draw_on(axes, ranks, p, reference)
        low, high = axes.get_ylim()
        figure.set_figheight(0.2 * (high - low))
        figure.savefig(file, format=kind, bbox_inches="tight", metadata=_METADATA[kind])
    return file.getvalue()


def draw_on(axes: Axes, ranks: pd.Series, p: pd.DataFrame, reference: str) -> None:
    """Draw on an axis of average ranks, 1 is best, with ``reference`` bold and blue.

    Bars are the maximal cliques of algorithms whose corrected p is not below 5 % in any pair.
    """
    from scikit_posthocs import critical_difference_diagram

    names = list(ranks.index)
    numbers = range(len(names))  # sets of strings have another order in each process
    drawn = critical_difference_diagram(
        pd.Series(ranks.to_numpy(), index=numbers),
        pd.DataFrame(p.loc[names, names].to_numpy(), index=numbers, columns=numbers),
        alpha=ALPHA,
        ax=axes,
        label_fmt_left="{label}",
        label_fmt_right="{label}",
        color_palette={number: BLUE if names[number] == reference else SOFT for number in numbers},
        elbow_props={"linewidth": 1.0},
        marker_props={"s": 12},
        crossbar_props={"color": INK, "linewidth": 2.0, "marker": "o", "markersize": 4},
        text_h_margin=0.02 * len(ranks),
    )
    lowest = min(label.get_position()[1] for label in drawn["labels"])
    axes.set(ylim=(lowest - 1, 2), xlim=(1, max(2, math.ceil(ranks.max()))))
    for label in drawn["labels"]:
        name = names[int(label.get_text())]
        rank = f"{ranks[name]:.2f}"
        is_left = label.get_horizontalalignment() == "right"
        label.set_text(f"{name} {rank} " if is_left else f" {rank} {name}")
        label.set(color=INK, fontweight="bold" if name == reference else "normal")


def draw_all(
    built: Sequence[Leaderboards], metrics: Sequence[str], reference: str
) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of the files of all tables of ranks, as SVG and as PDF.

    The name is that of the criterion; a measure other than the overall accuracy follows, and a
    network other than the usual one.
    """
    for criterion, metric, cells in iterate_cells(built, metrics):
        # "frozen_resnet18_128_px" for "frozen resnet18, 128 px"
        network = re.sub(r"\W+", "_", cells.network).strip("_")
        parts = [criterion, "" if metric == "overall" else metric, network]
        name, ranks = "_".join(filter(None, parts)), average_ranks(cells.figures)
        for kind in _METADATA:
            yield f"{name}.{kind}", draw(ranks, cells.p, reference, kind)
