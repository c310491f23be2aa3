"""The critical-difference diagram (Demsar, JMLR 7, 2006, figure 1): as SVG, and as PDF.

It is laid out once, as strokes and labels in pixels; the report shows the SVG. scikit-posthocs
draws one too, without the critical difference and only with matplotlib, seaborn and statsmodels.
"""

from __future__ import annotations

import io
import math
import re
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from ndcl_domainbed.results.statistics import Ranks, iterate_cells, rank

if TYPE_CHECKING:
    from ndcl_domainbed.results.leaderboards import Leaderboards

INK, SOFT, BLUE = "#1b1f24", "#59636e", "#0072b2"
TOP, GAP, HIGH = 58, 36, 20
"""Where the axis is, the least width of a rank, and the height of a line of names."""

CHARACTER, TEXT = 7.2, 12
"""The rough width of a character (a Chinese one is as wide as high), and the size of the text."""

POINT = 0.75
"""A pixel in points."""

_NO_GLYPH = re.compile(r"Glyph (\d+) .*missing from")
"""How matplotlib warns of a character that its font lacks."""

_ANCHORS = {"start": "left", "middle": "center", "end": "right"}


@dataclass(frozen=True)
class Stroke:
    """A line through points (x, y)."""

    points: list[tuple[float, float]]
    color: str = INK
    width: float = 1


@dataclass(frozen=True)
class Label:
    """A text on the base line ``y`` that starts, ends or has its middle at ``x``."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    bold: bool = False


@dataclass
class Diagram:
    """Strokes and labels on a sheet."""

    width: float
    height: float
    strokes: list[Stroke] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)


def find_groups(ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """Return the bars, (first, last): the longest runs of sorted ranks within ``difference``.

    >>> find_groups([1.0, 1.5, 2.0, 4.0], 0.9)
    [(0, 1), (1, 2)]
    """
    bars: list[tuple[int, int]] = []
    for first, best in enumerate(ranks):
        last = first
        while last + 1 < len(ranks) and ranks[last + 1] - best < difference:
            last += 1
        if last > first and not any(start <= first and last <= end for start, end in bars):
            bars.append((first, last))
    return bars


def draw(ranks: Ranks, reference: str) -> Diagram:
    """Lay the diagram out: the axis, the critical difference, bars over names that it covers."""
    found = sorted(((str(name), float(value)) for name, value in ranks.ranks.items()),
                   key=lambda one: one[1])  # fmt: skip
    cd = ranks.critical_difference
    bars = find_groups([value for _, value in found], 0.0 if math.isnan(cd) else cd)
    side = max(40.0, *(_text_width(name) for name, _ in found)) + 60
    width = max(760.0, 2 * side + GAP * len(found))
    lowest = TOP + 16 + 9 * len(bars)
    drawn = Diagram(width, lowest + HIGH * math.ceil(len(found) / 2) + 14)
    scale = (width - 2 * side) / max(1, len(found) - 1)
    x = [side + scale * (value - 1) for _, value in found]
    drawn.strokes.append(Stroke([(side, TOP), (width - side, TOP)]))
    for number in range(len(found)):
        at = side + scale * number
        drawn.strokes.append(Stroke([(at, TOP - 6), (at, TOP)]))
        drawn.labels.append(Label(at, TOP - 10, str(number + 1), "middle"))
    if not math.isnan(cd):
        _draw_difference(drawn, side, side + scale * min(cd, len(found) - 1), cd)
    for number, (first, last) in enumerate(bars):
        y = TOP + 10 + 9 * number
        drawn.strokes.append(Stroke([(x[first] - 4, y), (x[last] + 4, y)], width=4))
    for at, (name, value) in enumerate(found):
        half = at < math.ceil(len(found) / 2)
        y = lowest + HIGH * (at if half else len(found) - 1 - at) + 10
        edge = side - 12 if half else width - side + 12
        own = name == reference
        drawn.strokes.append(Stroke([(x[at], TOP), (x[at], y), (edge, y)], BLUE if own else SOFT))
        text = f"{name} {value:.2f}" if half else f"{value:.2f} {name}"
        end = edge - 4 if half else edge + 4
        drawn.labels.append(Label(end, y + 4, text, "end" if half else "start", own))
    return drawn


def _text_width(name: str) -> float:
    return sum(TEXT if unicodedata.east_asian_width(one) in "WF" else CHARACTER for one in name)


def _draw_difference(drawn: Diagram, start: float, end: float, cd: float) -> None:
    drawn.strokes.append(Stroke([(start, 14), (end, 14)], width=2))
    drawn.strokes += [Stroke([(x, 9), (x, 19)]) for x in (start, end)]
    drawn.labels.append(Label(end + 8, 18, f"critical difference {cd:.2f}"))


def to_svg(drawn: Diagram) -> str:
    """Return the diagram as SVG, for a file or within a page."""
    size = f"{drawn.width:g}", f"{drawn.height:g}"
    lines = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{size[0]}' height='{size[1]}' "
        f"viewBox='0 0 {size[0]} {size[1]}' role='img' aria-label='Critical-difference diagram' "
        f"font-family='system-ui, DejaVu Sans, sans-serif' font-size='{TEXT}'>"
    ]
    for one in drawn.strokes:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in one.points)
        lines.append(
            f"<polyline points='{points}' fill='none' stroke='{one.color}' "
            f"stroke-width='{one.width:g}'/>"
        )
    for label in drawn.labels:
        bold = " font-weight='700'" if label.bold else ""
        lines.append(
            f"<text x='{label.x:.1f}' y='{label.y:.1f}' text-anchor='{label.anchor}' "
            f"fill='{INK}'{bold}>{escape(label.text)}</text>"
        )
    return "\n".join([*lines, "</svg>"]) + "\n"


def to_pdf(drawn: Diagram) -> tuple[bytes | None, str]:
    """Return the diagram as PDF, and the characters in it that matplotlib's font lacks.

    It is the same for the same ranks; None if matplotlib is missing. Such characters are boxes
    in it; a browser finds another font for the SVG.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None, ""
    figure = Figure(figsize=(drawn.width * POINT / 72, drawn.height * POINT / 72))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, drawn.width), ylim=(drawn.height, 0))
    axes.set_axis_off()
    for one in drawn.strokes:
        x, y = zip(*one.points, strict=True)
        axes.plot(x, y, color=one.color, linewidth=one.width * POINT, solid_capstyle="butt")
    for label in drawn.labels:
        axes.text(
            label.x,
            label.y,
            label.text,
            ha=_ANCHORS[label.anchor],
            va="baseline",
            color=INK,
            fontsize=TEXT * POINT,
            fontweight="bold" if label.bold else "normal",
            parse_math=False,
        )
    file = io.BytesIO()
    lacking = set()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure.savefig(file, format="pdf", metadata={"CreationDate": None})
    for warning in caught:
        glyph = _NO_GLYPH.match(str(warning.message))
        if glyph:  # one warning for each character and place: the caller warns once
            lacking.add(chr(int(glyph[1])))
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return file.getvalue(), "".join(sorted(lacking))


def draw_all(
    built: Sequence[Leaderboards], metrics: Sequence[str], reference: str
) -> Iterator[tuple[str, Diagram]]:
    """Yield the diagrams of all tables of ranks, each with a name for its file.

    The name is that of the criterion; a measure other than the overall accuracy follows, and a
    network other than the usual one.
    """
    for criterion, metric, cells in iterate_cells(built, metrics):
        parts = [criterion, "" if metric == "overall" else metric, _file_name(cells.network)]
        yield "_".join(filter(None, parts)), draw(rank(cells.figures), reference)


def _file_name(network: str) -> str:
    """Return "frozen_resnet18_128_px" for "frozen resnet18, 128 px"."""
    return re.sub(r"\W+", "_", network).strip("_")
