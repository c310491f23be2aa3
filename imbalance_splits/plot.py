"""Split tables as pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imbalance_splits.errors import InputError
from imbalance_splits.shots import GROUPS, shot_groups
from imbalance_splits.table import SplitTable
from imbalance_splits.whole_files import write_whole

COLORS = {"many": "#0072B2", "medium": "#E69F00", "few": "#440154", "zero": "#999999"}
"""The color of each shot group: told apart with any color vision, and without color."""

_NO_DATE = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
"""The formats, and the metadata that leave out when the picture was drawn."""

_NAMED_CLASSES = 12
_NAMED_CLASSES_ALONE = 80


def plot_table(table: SplitTable, path: Path | str, targets: Sequence[str] | None = None) -> None:
    """Draw ``table`` into the file ``path`` (.png, .pdf or .svg).

    Each row of panels is a target domain, each panel one of its sources: a bar for each class,
    the classes sorted by their mean over the sources, colored by shot group. A single target
    is drawn larger, one panel below the other. Raises InputError if matplotlib is not installed
    or the file cannot be written.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError(
            "pictures need matplotlib; install it with: pip install matplotlib"
        ) from None
    path = Path(path)
    suffix = path.suffix.lower().lstrip(".") or "png"
    if suffix not in _NO_DATE:
        raise InputError(f"{path}: a picture is written as .{', .'.join(_NO_DATE)}.")
    chosen = list(targets or table.train_counts)
    content = io.BytesIO()
    # names may have dollar signs; the same picture has the same identifiers
    with rc_context({"text.parse_math": False, "svg.hashsalt": "imbalance_splits"}):
        figure = Figure(layout="constrained")
        if len(chosen) == 1:
            _one_target(figure, table, chosen[0])
        else:
            _all_targets(figure, table, chosen)
        figure.suptitle(_title(table, chosen), fontsize=11)
        _legend(figure, table, chosen)
        figure.savefig(content, format=suffix, dpi=120, metadata=_NO_DATE[suffix])
    write_whole(path, content.getvalue())


def _all_targets(figure: Any, table: SplitTable, targets: Sequence[str]) -> None:
    """Draw targets as rows and domains as columns."""
    size = len(table.domains)
    figure.set_size_inches(2.2 + 2.0 * size, 1.2 + (1.9 if _named(table) else 1.5) * len(targets))
    panels = figure.subplots(len(targets), size, sharey="row", squeeze=False)
    for row, target in enumerate(targets):
        order, shots = _order(table, target)
        top = table.counts(target).max()
        for column, domain in enumerate(table.domains):
            panel = panels[row, column]
            if domain in table.rows(target):
                _bars(panel, table, target, domain, order, shots)
                _class_names(panel, table, order, _named(table))
            else:
                text = "target" if domain == target else "not used"
                panel.text(0.5, 0.5, text, ha="center", va="center", transform=panel.transAxes)
                panel.set_xticks([])
                panel.spines[:].set_color("#cccccc")
                panel.tick_params(labelsize=8)
            if row == 0:
                panel.set_title(f"source {domain}", fontsize=10)
            panel.set_ylim(0, max(top, 1) * (1.2 if _named(table) else 1.05))
        panels[row, 0].set_ylabel(f"target {target}", fontsize=10)


def _one_target(figure: Any, table: SplitTable, target: str) -> None:
    """Draw the sources of one target below each other, with room for the classes' names."""
    sources = table.sources(target)
    named = len(table.classes) <= _NAMED_CLASSES_ALONE
    width = min(12.0, 6.5 + 0.12 * len(table.classes))
    figure.set_size_inches(width, 1.6 + 1.5 * len(sources))
    panels = figure.subplots(len(sources), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    order, shots = _order(table, target)
    for panel, domain in zip(panels, sources, strict=True):
        _bars(panel, table, target, domain, order, shots)
        panel.set_ylabel(f"source {domain}", fontsize=10)
    panels[0].set_ylim(0, max(table.counts(target).max(), 1) * (1.2 if _named(table) else 1.05))
    _class_names(panels[-1], table, order, named)


def _title(table: SplitTable, targets: Sequence[str]) -> str:
    """Return what the picture shows."""
    target = f", target {targets[0]}" if len(targets) == 1 else ""
    return (
        f"{table.dataset} {table.setting}{target}: training images of each class\n"
        f"{len(table.classes)} classes, those with the most images over all sources first"
    )


def _order(table: SplitTable, target: str) -> tuple[np.ndarray, list[str]]:
    """Return the classes, most trained first, and the group of each in that order."""
    counts = table.counts(target)
    order = np.argsort(-counts.mean(axis=0), kind="stable")
    shots = shot_groups(counts, table.thresholds[target])
    return order, [shots[k] for k in order]


def _bars(
    panel: Any,
    table: SplitTable,
    target: str,
    domain: str,
    order: np.ndarray,
    shots: Sequence[str],
) -> None:
    """Draw one source: a bar for each class; with many classes the bars touch."""
    heights = table.counts(target, [domain])[0][order]
    many = len(heights) > _NAMED_CLASSES_ALONE
    width = 1.0 if many else 0.8
    colors = [COLORS[shot] for shot in shots]
    bars = panel.bar(np.arange(len(heights)), heights, width=width, color=colors, linewidth=0)
    if _named(table):
        panel.bar_label(bars, fontsize=7, padding=1)
    panel.set_xlim(-0.6, len(heights) - 0.4)
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)


def _class_names(panel: Any, table: SplitTable, order: np.ndarray, named: bool) -> None:
    """Name the classes below a panel if there is room for it."""
    if not named:
        panel.set_xticks([])
        return
    names = [table.classes[k] for k in order]
    size = 8 if len(names) <= _NAMED_CLASSES else 7
    panel.set_xticks(np.arange(len(names)), names, rotation=90, fontsize=size)


def _named(table: SplitTable) -> bool:
    return len(table.classes) <= _NAMED_CLASSES


def _legend(figure: Any, table: SplitTable, targets: Sequence[str]) -> None:
    """Name the colors of the groups that occur, below the panels."""
    from matplotlib.patches import Patch

    occur = {shot for target in targets for shot in _order(table, target)[1]}
    handles = [
        Patch(color=COLORS[group], label=f"{group.capitalize()}: {_meaning(group, table, targets)}")
        for group in GROUPS
        if group in occur
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9, frameon=False
    )


def _meaning(group: str, table: SplitTable, targets: Sequence[str]) -> str:
    """Return the mean counts that make a class belong to ``group``."""
    if group == "zero":
        return "none"
    if len({table.thresholds[target] for target in targets}) > 1:
        return {"many": "most images", "medium": "between", "few": "fewest"}[group]
    limits = table.thresholds[targets[0]]
    named = {
        "many": f"mean above {limits.many:.4g}",
        "medium": "between",
        "few": f"mean below {limits.few:.4g}",
    }
    return named[group]
