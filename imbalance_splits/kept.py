"""How much of a dataset a split table keeps, stated before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping

from imbalance_splits.settings.duality import Duality, duality_roles
from imbalance_splits.table import LabelCounts, SplitTable

MIN_SHARE = 0.2  # a table that keeps a smaller share of the source images gets a warning


def describe_kept(table: SplitTable, label_counts: LabelCounts, target: str) -> list[str]:
    """Return a line on how many of the source images of ``target`` are trained on.

    ``label_counts`` (domain -> class -> images) are those that there are; sources that are not
    in it are left out, and without any there is no line. Further lines, which begin with
    'warning:', say that the share is below :data:`MIN_SHARE`, or that a domain which Duality
    makes scarce is not the scarcest. Raises InputError for an unknown target.
    """
    rows = table.rows(target)
    available = {d: sum(label_counts[d].values()) for d in rows if d in label_counts}
    kept = {name: sum(rows[name].values()) for name in available}
    images, of_all = sum(kept.values()), sum(available.values())
    if not of_all:
        return []
    share = images / of_all
    lines = [
        f"With target {target}, {images:,} of {of_all:,} source images are used for training "
        f"({share:.1%})"
    ]
    if share < MIN_SHARE:
        lines.append(
            f"warning: {table.setting} keeps less than {MIN_SHARE:.0%} of the source images "
            f"for target {target}"
        )
    if table.setting == Duality.__name__ and len(available) == len(rows):
        held = table.validation_per_class[target]
        sources = {
            name: {k: n and max(n - held, 0) for k, n in label_counts[name].items()}
            for name in rows
        }
        lines += _not_scarcest(kept, duality_roles(sources, target)[2], target)
    return lines


def _not_scarcest(kept: Mapping[str, int], scarce: list[str], target: str) -> list[str]:
    """Return a warning for each scarce domain that is trained on more than one that is not."""
    lines = []
    for domain in scarce:
        smaller = [
            f"{name} {images:,}"
            for name, images in kept.items()
            if name not in scarce and images < kept[domain]
        ]
        if smaller:
            lines.append(
                f"warning: Duality's scarce domain for target {target}, {domain}, is not the "
                f"scarcest: it has {kept[domain]:,} images, {', '.join(smaller)}"
            )
    return lines
