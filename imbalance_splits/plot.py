"""Split tables as figures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imbalance_splits.errors import InputError, needs_package
from imbalance_splits.shots import GROUPS, shot_groups
from imbalance_splits.table import SplitTable
from imbalance_splits.whole_files import write_whole

COLORS = {"many": "#0072B2", "medium": "#E69F00", "few": "#440154", "zero": "#999999"}
"""The color of each shot group: distinct with any color vision, and without color."""

_NO_DATE = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
"""The formats, and the metadata that leave out when the figure was drawn."""

_NAMED_CLASSES = 12
_NAMED_CLASSES_ALONE = 80


def plot_table(table: SplitTable, path: Path | str, targets: Sequence[str] | None = None) -> None:
    """Draw ``table`` into the file ``path`` (.png, .pdf or .svg).

    Each row of panels is a target domain, each panel one of its sources: a bar for each class,
    the classes sorted by their mean over the sources, colored by shot group. A single target
    is drawn larger, one panel below the other. Raises InputError if matplotlib is not installed
    or the file cannot be written.
    """
    with needs_package("figures need matplotlib; install it with: pip install matplotlib"):
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    path = Path(path)
    suffix = path.suffix.lower().lstrip(".") or "png"
    if suffix not in _NO_DATE:
        raise InputError(f"{path}: a figure is written as .{', .'.join(_NO_DATE)}.")
    chosen = list(targets or table.train_counts)
    content = io.BytesIO()
    # names may have dollar signs; the same figure has the same identifiers
    with rc_context({"text.parse_math": False, "svg.hashsalt": "imbalance_splits"}):
        figure = Figure(layout="constrained")
        _draw(figure, table, chosen)
        figure.savefig(content, format=suffix, dpi=120, metadata=_NO_DATE[suffix])
    write_whole(path, content.getvalue())


def _draw(figure: Any, table: SplitTable, targets: list[str]) -> None:
    """Draw a row of panels for each target; of a single one, its sources below each other."""
    alone, classes = len(targets) == 1, len(table.classes)
    numbered = classes <= _NAMED_CLASSES  # whether there is room for the counts
    named = numbered or (alone and classes <= _NAMED_CLASSES_ALONE)
    if alone:
        domains = table.sources(targets[0])
        figure.set_size_inches(min(12.0, 6.5 + 0.12 * classes), 1.6 + 1.5 * len(domains))
        panels = figure.subplots(len(domains), 1, sharex=True, squeeze=False).T
    else:
        domains = list(table.domains)
        height = 1.9 if numbered else 1.5
        figure.set_size_inches(2.2 + 2.0 * len(domains), 1.2 + height * len(targets))
        panels = figure.subplots(len(targets), len(domains), squeeze=False)
    occur = set()
    for row, target in zip(panels, targets, strict=True):
        counts = table.counts(target)
        order = np.argsort(-counts.mean(axis=0), kind="stable")  # most images first
        shots = np.array(shot_groups(counts, table.thresholds[target]))[order].tolist()
        occur |= set(shots)
        top = max(counts.max(), 1) * (1.2 if numbered else 1.05)
        for panel, domain in zip(row, domains, strict=True):
            panel.tick_params(labelsize=8)
            panel.set_ylim(0, top)
            panel.set_xticks([])
            if domain not in table.rows(target):
                text = "target" if domain == target else "not used"
                panel.text(0.5, 0.5, text, ha="center", va="center", transform=panel.transAxes)
                panel.spines[:].set_color("#cccccc")
                continue
            _bars(panel, table.counts(target, [domain])[0][order], shots, numbered)
            if named:
                names = [table.classes[k] for k in order]
                panel.set_xticks(np.arange(classes), names, rotation=90, fontsize=7 + numbered)
        for panel in row[1:] if not alone else ():
            panel.tick_params(labelleft=False)
        row[0].set_ylabel(f"target {target}", fontsize=10)
    for panel, domain in zip(panels[0], domains, strict=True):
        place = panel.set_ylabel if alone else panel.set_title
        place(f"source {domain}", fontsize=10)
    title = f", target {targets[0]}" if alone else ""
    figure.suptitle(
        f"{table.dataset} {table.setting}{title}: training images of each class\n"
        f"{classes} classes, those with the most images over all sources first",
        fontsize=11,
    )
    _legend(figure, table, targets, [group for group in GROUPS if group in occur])


def _bars(panel: Any, heights: np.ndarray, shots: Sequence[str], numbered: bool) -> None:
    """Draw one source: a bar for each class; with many classes the bars touch."""
    width = 1.0 if len(heights) > _NAMED_CLASSES_ALONE else 0.8
    colors = [COLORS[shot] for shot in shots]
    bars = panel.bar(np.arange(len(heights)), heights, width=width, color=colors, linewidth=0)
    if numbered:
        panel.bar_label(bars, fontsize=7, padding=1)
    panel.set_xlim(-0.6, len(heights) - 0.4)
    panel.spines[["top", "right"]].set_visible(False)


def _legend(figure: Any, table: SplitTable, targets: list[str], groups: list[str]) -> None:
    """Name the colors of the groups that occur, and the mean counts behind them."""
    from matplotlib.patches import Patch

    meaning = {"many": "most images", "medium": "between", "few": "fewest", "zero": "none"}
    limits = {table.thresholds[target] for target in targets}
    if len(limits) == 1:
        (only,) = limits
        meaning |= {"many": f"mean above {only.many:.4g}", "few": f"mean below {only.few:.4g}"}
    labels = {group: f"{group.capitalize()}: {meaning[group]}" for group in groups}
    handles = [Patch(color=COLORS[group], label=label) for group, label in labels.items()]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9, frameon=False
    )
