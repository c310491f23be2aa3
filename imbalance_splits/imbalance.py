"""Imbalanced splits of whatever has labels: from a setting and a seed to image indices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imbalance_splits.errors import InputError, join_names
from imbalance_splits.kept import describe_kept
from imbalance_splits.labels import class_labels, describe_absent, labels_of
from imbalance_splits.make_table import table_for
from imbalance_splits.seeds import seed_hash
from imbalance_splits.shots import describe_empty_groups, shot_groups
from imbalance_splits.splitting import DomainIndices, split_domain
from imbalance_splits.table import SplitTable


@dataclass(frozen=True)
class ImbalancedSplit:
    """The images of every source domain, for one target domain.

    ``sources`` maps a source domain to its :class:`~imbalance_splits.splitting.DomainIndices`
    (``train``, ``validation`` and ``test``); ``counts`` are the training images, int64 (sources,
    classes); ``classes`` the names of the K classes, in label order; ``shot_groups`` the group of
    each class: 'many', 'medium', 'few' or 'zero'; ``notes`` what to know of the split, a line each;
    ``table`` is the table that the counts are from.
    """

    target: str
    sources: dict[str, DomainIndices]
    classes: list[str]
    counts: np.ndarray
    shot_groups: dict[str, str]
    notes: list[str]
    table: SplitTable


def make_imbalance(
    labels: Mapping[str, Any],
    setting: str | Path | SplitTable,
    target: str,
    seed: int = 0,
    *,
    classes: Sequence[str] | None = None,
    dataset: str = "data",
    **parameters: Any,
) -> ImbalancedSplit:
    """Return which images of the source domains are trained on when ``target`` is left out.

    ``labels`` maps each domain, the target among them, to the labels of its images in order: whole
    numbers from 0 or names, as a list or an array; or a dataset with ``targets``, such as
    torchvision's ImageFolder, whose domains may differ in their classes. ``classes`` names the
    numbers (default: what the datasets say, else '0', '1', …); names are sorted. ``setting`` is a
    setting's name with ``parameters``, the path of a table (.json, .csv), or a table. ``dataset``
    may name a published dataset, whose published table is then taken unless there are parameters.

    ``seed`` is the trial seed of a training run: with the domains in the order of its dataset
    (folders: by name), the images are those that the run trains on. Raises InputError for labels
    that are no classes, and for a setting that the images are too few for.

    >>> labels = {name: ["cat"] * 40 + ["dog"] * 30 for name in ("art", "photo", "sketch")}
    >>> split = make_imbalance(labels, "Exponential", target="sketch", seed=0, factor=5)
    >>> split.counts.tolist(), split.shot_groups
    ([[28, 5], [28, 5]], {'cat': 'many', 'dog': 'few'})
    >>> len(split.sources["photo"].train), split.sources["photo"].validation[:3]
    (33, array([21, 15, 38]))
    """
    if target not in labels:
        raise InputError(f"no labels of the target {target!r}; there are: {', '.join(labels)}.")
    if len(labels) < 2:
        raise InputError(f"there are no labels of a source, only of the target {target!r}.")
    names, numbers = _number_labels(labels, classes)
    sizes = {
        domain: dict(zip(names, np.bincount(row, minlength=len(names)).tolist(), strict=True))
        for domain, row in numbers.items()
    }
    if isinstance(setting, SplitTable):
        table = setting
    else:
        table = table_for(dataset, str(setting), sizes, parameters or None)
    sources = [domain for domain in labels if domain != target]
    counts = counts_of(table, target, sources, names)
    parts = {
        domain: split_domain(
            numbers[domain], row, table.validation_per_class[target],
            seed_hash(int(seed), list(labels).index(domain)), domain=domain, classes=names,
        )
        for domain, row in zip(sources, counts, strict=True)
    }  # fmt: skip
    groups = shot_groups(counts, table.thresholds[target])
    notes = describe_absent(sizes)
    notes += describe_empty_groups(counts, table.thresholds[target])
    notes += describe_kept(table, {name: sizes[name] for name in sources}, target)
    return ImbalancedSplit(
        target, parts, names, counts, dict(zip(names, groups, strict=True)), notes, table
    )


def counts_of(
    table: SplitTable, target: str, sources: Sequence[str], classes: Sequence[str]
) -> np.ndarray:
    """Return the table's training counts, int64 (sources, classes), in the order given.

    Raises InputError unless the table has these classes, and counts for the sources.
    """
    where = f"split table {table.dataset} {table.setting}"
    odd = [name for name in classes if name not in table.classes]
    extra = [name for name in table.classes if name not in classes]
    if odd or extra:
        raise InputError(
            f"{where} and the dataset differ in their classes. "
            f"Not in the table: {join_names(odd)}; not in the dataset: {join_names(extra)}.\n"
            "Use a table for these classes: splits make generates one."
        )
    missing = [name for name in sources if name not in table.rows(target)]
    if missing:
        raise InputError(
            f"{where}, target {target}: no counts for the source {', '.join(missing)}.\n"
            "Use a table with these domains: splits make generates one."
        )
    order = [table.classes.index(name) for name in classes]
    return table.counts(target, sources)[:, order]


def _number_labels(
    labels: Mapping[str, Any], classes: Sequence[str] | None
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Return the names of the classes, and of each domain the numbers of the classes (N,)."""
    rows = {domain: _read_labels(given, domain) for domain, given in labels.items()}
    own = {d: list(given.classes) for d, given in labels.items() if hasattr(given, "classes")}
    if own and classes is None and all(names == next(iter(own.values())) for names in own.values()):
        classes = next(iter(own.values()))
    for domain, names in own.items():
        if names != (None if classes is None else list(classes)):  # numbered in its own way
            class_labels(labels[domain], len(names), f"domain {domain}")
            rows[domain] = np.array(names)[rows[domain]]
    if all(row.dtype.kind in "iu" for row in rows.values() if row.size):
        last = max((int(row.max()) for row in rows.values() if row.size), default=-1)
        known = [str(i) for i in range(last + 1)] if classes is None else list(classes)
        for domain, row in rows.items():
            if row.size and not 0 <= row.min() <= row.max() < len(known):
                raise InputError(
                    f"domain {domain}: labels from {row.min()} to {row.max()}, but with "
                    f"{len(known)} classes labels are 0 to {len(known) - 1}."
                )
        return known, {domain: row.astype(np.int64) for domain, row in rows.items()}
    found = sorted({str(name) for row in rows.values() for name in row.tolist()})
    known = found if classes is None else list(classes)
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise InputError(f"the labels have {join_names(unknown)}, which is not among the classes.")
    place = {name: number for number, name in enumerate(known)}
    return known, {
        domain: np.array([place[str(name)] for name in row.tolist()], dtype=np.int64)
        for domain, row in rows.items()
    }


def _read_labels(given: Any, domain: str) -> np.ndarray:
    """Return the labels of a domain, numbers or names, (N,)."""
    is_dataset = hasattr(given, "targets") or hasattr(given, "tensors")
    row = labels_of(given) if is_dataset else np.asarray(given)
    if row.ndim != 1 or (row.dtype.kind in "fcb" and row.size):
        raise InputError(
            f"domain {domain}: the labels must be a list of whole numbers or of names, one for "
            "each image."
        )
    return row
