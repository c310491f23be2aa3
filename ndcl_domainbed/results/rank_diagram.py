"""The critical-difference diagram (Demsar, JMLR 7, 2006, figure 1), drawn with matplotlib."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from imbalance_splits.errors import InputError
from ndcl_domainbed.results.statistics import Ranks, iterate_cells, rank

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


def find_groups(ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """Return the bars, (first, last): the longest runs of sorted ranks within ``difference``.

    >>> find_groups([1.0, 1.5, 2.0, 4.0], 0.9)
    [(0, 1), (1, 2)]
    """
    bars: list[tuple[int, int]] = []
    for first, best in enumerate(ranks):
        last = max(i for i, one in enumerate(ranks) if i == first or one - best < difference)
        if last > first and not any(start <= first and last <= end for start, end in bars):
            bars.append((first, last))
    return bars


def draw(ranks: Ranks, reference: str, kind: str) -> bytes:
    """Return the diagram as a file of the ``kind`` svg or pdf, the same for the same ranks.

    Below an axis of average ranks, 1 is best, bars join algorithms that differ by less than the
    critical difference. ``reference`` is bold. Raises InputError if matplotlib is missing.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("the diagrams of ranks need matplotlib: pip install matplotlib") from error
    file = io.BytesIO()
    with rc_context(_STYLE):
        figure = Figure()
        _draw_on(figure, ranks, reference)
        figure.savefig(file, format=kind, bbox_inches="tight", metadata=_METADATA[kind])
    return file.getvalue()


def _draw_on(figure: Figure, ranks: Ranks, reference: str) -> None:
    found = ranks.ranks.sort_values()
    count = len(found)
    cd = 0.0 if math.isnan(ranks.critical_difference) else ranks.critical_difference
    bars = find_groups(found.tolist(), cd)
    half, lowest = math.ceil(count / 2), -1 - 0.5 * len(bars)
    top, bottom = 2.2, lowest - half - 0.5
    figure.set_size_inches(max(5.0, 0.4 * count), 0.26 * (top - bottom))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(1, max(2, count)), ylim=(bottom, top))
    axes.set_axis_off()
    line: dict[str, Any] = {
        "color": INK,
        "linewidth": 1.0,
        "clip_on": False,
        "solid_capstyle": "butt",
    }
    axes.plot([1, max(2, count)], [0, 0], **line)
    for number in range(1, count + 1):
        axes.plot([number, number], [0, 0.3], **line)
        axes.text(number, 0.45, str(number), ha="center")
    if cd:
        end = min(1 + cd, count)
        axes.plot([1, end], [1.7, 1.7], **line | {"linewidth": 2.0})
        axes.text(end, 1.7, f"  critical difference {cd:.2f}", va="center")
    for number, (first, last) in enumerate(bars):
        y = -0.6 - 0.5 * number
        ends = [found.iloc[first] - 0.05, found.iloc[last] + 0.05]
        axes.plot(ends, [y, y], **line | {"linewidth": 3.5})
    for at, (name, value) in enumerate(found.items()):
        is_left = at < half
        y = lowest - (at if is_left else count - 1 - at)
        edge = 1.0 if is_left else max(2.0, count)
        own = name == reference
        axes.plot([value, value, edge], [0, y, y], **line | {"color": BLUE if own else SOFT})
        label = f"{name} {value:.2f}  " if is_left else f"  {value:.2f} {name}"
        axes.text(edge, y, label, ha="right" if is_left else "left", va="center",
                  fontweight="bold" if own else "normal", color=INK)  # fmt: skip


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
        for kind in _METADATA:
            name = f"{'_'.join(filter(None, parts))}.{kind}"
            yield name, draw(rank(cells.figures), reference, kind)
