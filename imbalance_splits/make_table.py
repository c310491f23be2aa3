"""From the name of a dataset and of a setting to a split table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imbalance_splits import published
from imbalance_splits.errors import InputError
from imbalance_splits.labels import check_class_count
from imbalance_splits.settings import build_setting, get_setting, parse_setting
from imbalance_splits.settings.from_file import FILE_SUFFIXES, FromFile
from imbalance_splits.table import LabelCounts, SplitTable


def table_for(
    dataset: str,
    setting: str,
    label_counts: LabelCounts | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> SplitTable:
    """Return the split table of ``dataset`` under ``setting``.

    ``setting`` is a name, maybe with parameters (``Cross:middle=0.5``), or the path of a table: a
    .json or .csv file. The shipped table is taken if there is one and no parameters are given.
    Otherwise the table is generated from ``label_counts`` (domain -> class -> images; None: those
    that are shipped, which the table's provenance then names) with ``parameters``, which change
    only what they name of those of a shipped table. Raises InputError.
    """
    if _is_file(setting):
        return generate_table(dataset, setting, label_counts or {}, parameters)
    name, own = parse_setting(setting)
    get_setting(name)
    parameters = {**own, **(parameters or {})}
    table = None if parameters else published.published_table(dataset, name)
    if table is not None:
        return table
    parameters = {**published.published_parameters(dataset, name), **parameters}
    if dataset not in published.published_datasets():
        return generate_table(dataset, name, label_counts or {}, parameters)
    shipped = published.label_counts(dataset)
    if label_counts is not None:
        # Random draws follow the order of the shipped counts: so the parameters of a shipped
        # table give that table, in whatever order the domains come.
        first = [domain for domain in shipped if domain in label_counts]
        ordered = {domain: label_counts[domain] for domain in [*first, *label_counts]}
        made = generate_table(dataset, name, ordered, parameters)
        return dataclasses.replace(
            made, domains=tuple(dict.fromkeys([*label_counts, *made.domains]))
        )
    made = generate_table(dataset, name, shipped, parameters)
    provenance = {**made.provenance, "label_counts": published.origin(dataset)}
    return dataclasses.replace(made, provenance=provenance)


def generate_table(
    dataset: str,
    setting: str,
    label_counts: LabelCounts,
    parameters: Mapping[str, Any] | None = None,
) -> SplitTable:
    """Return what ``setting`` makes of ``label_counts``, whatever the dataset is called.

    ``setting`` is a name, maybe with parameters, or the path of a table. Raises InputError, also
    for a dataset of a single class.
    """
    classes = dict.fromkeys(name for row in label_counts.values() for name in row)
    if classes:
        check_class_count(list(classes), f"{setting} of {dataset}")
    if not _is_file(setting):
        name, own = parse_setting(setting)
        return build_setting(name, {**own, **(parameters or {})}).table(dataset, label_counts)
    if parameters:
        raise InputError(f"{setting}: a table read from a file takes no parameters.")
    return FromFile(setting).table(dataset, label_counts)


def _is_file(setting: str) -> bool:
    return Path(setting).suffix.lower() in FILE_SUFFIXES
