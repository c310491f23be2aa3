"""Split tables as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from imbalance_splits.kept import describe_kept
from imbalance_splits.shots import GROUPS, describe_empty_groups, shot_groups
from imbalance_splits.table import LabelCounts, SplitTable

WIDE_CLASSES = 12  # with more classes than this a table has one row per class instead of one column


def format_table(
    table: SplitTable,
    targets: Sequence[str] | None = None,
    label_counts: LabelCounts | None = None,
) -> str:
    """Return ``table`` to be read: for each target, source × class, totals, ratios and shots.

    The ratio is that of a domain's largest to its smallest count. With many classes each class
    has a row, those trained on most first. ``targets`` None means all. With ``label_counts`` each
    target says how much of them it keeps (see :func:`~imbalance_splits.kept.describe_kept`).
    """
    chosen = targets or list(table.train_counts)
    blocks = [_target_text(table, target, label_counts or {}) for target in chosen]
    title = "\n".join([f"{table.dataset} {table.setting}", *_origin(table)])
    return "\n\n".join([title, *blocks]) + "\n"


def _origin(table: SplitTable) -> list[str]:
    """Return lines on where the numbers come from."""
    if "source" in table.provenance:
        return [f"Source: {table.provenance['source']}"]
    if "generator" not in table.provenance:
        return []
    parameters = table.provenance.get("parameters")
    known = parameters if isinstance(parameters, Mapping) else {}  # edited by hand, perhaps
    listed = [f"{name} {value}" for name, value in known.items()]
    listed += [f"seed {table.provenance['seed']}"] if "seed" in table.provenance else []
    counted = table.provenance.get("label_counts")
    lines = [f"Generated with {', '.join(listed)}"]
    return [*lines, f"Label counts: {counted}"] if counted else lines


def _target_text(table: SplitTable, target: str, label_counts: LabelCounts) -> str:
    """Return the block of one target domain."""
    counts = table.counts(target)
    limits = table.thresholds[target]
    shots = [shot.capitalize() for shot in shot_groups(counts, limits)]
    sizes = ", ".join(f"{shots.count(group.capitalize())} {group.capitalize()}" for group in GROUPS)
    head = [
        f"Target {target}: {counts.sum()} training images, "
        f"{table.validation_per_class[target]} for validation of each class and domain",
        f"Many above {limits.many:g}, Few below {limits.few:g} images on average: {sizes}",
        *describe_empty_groups(counts, limits),
        *describe_kept(table, label_counts, target),
    ]
    means = counts.mean(axis=0)
    order = np.arange(len(means))
    wide = len(means) <= WIDE_CLASSES
    if not wide:
        order = np.argsort(-means, kind="stable")
    rows: list[list[object]] = [
        ["domain" if wide else "class", *(table.classes[k] for k in order), "total", "ratio"]
    ]
    for source, row in zip(table.sources(target), counts, strict=True):
        rows.append([source, *row[order].tolist(), int(row.sum()), _ratio(row)])
    rows.append(["mean", *(f"{means[k]:.1f}" for k in order), f"{means.sum():.1f}", _ratio(means)])
    rows.append(["shot", *(shots[k] for k in order), "", ""])
    if not wide:
        rows = [list(column) for column in zip(*rows, strict=True)]
    return "\n".join([*head, "", _tabulate(rows)])


def _ratio(row: np.ndarray) -> str:
    """Return the largest over the smallest count; '-' if that is 0."""
    return f"{row.max() / row.min():.1f}" if row.min() > 0 else "-"


def _tabulate(rows: list[list[object]]) -> str:
    """Return ``rows``, the heading first, as a table."""
    from tabulate import tabulate

    heading = [str(name) for name in rows[0]]
    align = ["left"] + ["right"] * (len(heading) - 1)
    return tabulate(rows[1:], heading, tablefmt="simple", colalign=align, disable_numparse=True)
