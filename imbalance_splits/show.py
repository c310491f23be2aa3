"""Split tables as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from imbalance_splits.kept import describe_kept
from imbalance_splits.shots import GROUPS, describe_empty_groups, shot_groups
from imbalance_splits.table import LabelCounts, SplitTable

WIDE_CLASSES = 12
"""With more classes than this a table has one row per class instead of one column."""


def table_text(
    table: SplitTable,
    targets: Sequence[str] | None = None,
    label_counts: LabelCounts | None = None,
) -> str:
    """Return ``table`` to be read: for each target, source × class, totals, ratios and shots.

    The ratio is that of a domain's largest to its smallest count. With many classes each class
    has a row, those trained on most first. ``targets`` None means all. With ``label_counts`` each
    target says how much of them it keeps (see :func:`~imbalance_splits.kept.describe_kept`).
    """
    parts = [f"{table.dataset} {table.setting}", _origin(table)]
    for target in targets or list(table.train_counts):
        parts += ["", _target_text(table, target, label_counts or {})]
    return "\n".join(part for part in parts if part is not None) + "\n"


def _origin(table: SplitTable) -> str | None:
    """Return one line on where the numbers come from."""
    if "source" in table.provenance:
        return f"Source: {table.provenance['source']}"
    if "generator" in table.provenance:
        counted = table.provenance.get("label_counts")
        parameters = table.provenance.get("parameters")
        known = parameters if isinstance(parameters, Mapping) else {}  # edited by hand, perhaps
        listed = [f"{name} {value}" for name, value in known.items()]
        listed += [f"seed {table.provenance['seed']}"] if "seed" in table.provenance else []
        lines = [f"Generated with {', '.join(listed)}"]
        lines += [f"Label counts: {counted}"] if counted else []
        return "\n".join(lines)
    return None


def _target_text(table: SplitTable, target: str, label_counts: LabelCounts) -> str:
    """Return the block of one target domain."""
    counts = table.counts(target)
    limits = table.thresholds[target]
    shots = shot_groups(counts, limits)
    sizes = ", ".join(f"{shots.count(group)} {group.capitalize()}" for group in GROUPS)
    head = (
        f"Target {target}: {counts.sum()} training images, "
        f"{table.validation_per_class[target]} for validation of each class and domain\n"
        f"Many above {limits.many:g}, Few below {limits.few:g} images on average: {sizes}"
    )
    head = "\n".join(
        [head, *describe_empty_groups(counts, limits), *describe_kept(table, label_counts, target)]
    )
    wide = len(table.classes) <= WIDE_CLASSES
    body = _by_domain(table, target, shots) if wide else _by_class(table, target, shots)
    return f"{head}\n\n{body}"


def _by_domain(table: SplitTable, target: str, shots: Sequence[str]) -> str:
    """Return a row for each source, a column for each class."""
    counts = table.counts(target)
    means = counts.mean(axis=0)
    rows = [
        [source, *row.tolist(), int(row.sum()), _ratio(row)]
        for source, row in zip(table.sources(target), counts, strict=True)
    ]
    rows.append(["mean", *(f"{mean:.1f}" for mean in means), f"{means.sum():.1f}", _ratio(means)])
    rows.append(["shot", *(shot.capitalize() for shot in shots), "", ""])
    return _tabulate(rows, ["domain", *table.classes, "total", "ratio"])


def _by_class(table: SplitTable, target: str, shots: Sequence[str]) -> str:
    """Return a row for each class, a column for each source."""
    counts = table.counts(target)
    means = counts.mean(axis=0)
    order = np.argsort(-means, kind="stable")
    rows = [
        [table.classes[k], *counts[:, k].tolist(), f"{means[k]:.1f}", shots[k].capitalize()]
        for k in order.tolist()
    ]
    rows.append(["total", *counts.sum(axis=1).tolist(), f"{means.sum():.1f}", ""])
    rows.append(["ratio", *(_ratio(row) for row in counts), _ratio(means), ""])
    return _tabulate(rows, ["class", *table.sources(target), "mean", "shot"])


def _ratio(row: np.ndarray) -> str:
    """Return the largest over the smallest count; '-' if that is 0."""
    return f"{row.max() / row.min():.1f}" if row.min() > 0 else "-"


def _tabulate(rows: list[list[object]], headers: list[str]) -> str:
    from tabulate import tabulate

    align = ["left"] + ["right"] * (len(headers) - 1)
    return tabulate(rows, headers, tablefmt="simple", colalign=align, disable_numparse=True)
