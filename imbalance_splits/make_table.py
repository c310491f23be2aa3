"""From the name of a data set and of a setting to a split table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imbalance_splits.errors import InputError
from imbalance_splits.published import (
    label_counts as published_label_counts,
)
from imbalance_splits.published import (
    published_datasets,
    published_parameters,
    published_table,
)
from imbalance_splits.settings import build_setting, get_setting
from imbalance_splits.settings.from_file import FILE_SUFFIXES, FromFile
from imbalance_splits.table import LabelCounts, SplitTable


def table_for(
    dataset: str,
    setting: str,
    label_counts: LabelCounts | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> SplitTable:
    """Return the split table of ``dataset`` under ``setting``.

    It is the published one if there is one and no ``parameters`` are given. Otherwise it is
    generated from ``label_counts`` (domain -> class -> images; those of the four published data
    sets are known) with ``parameters``, which for a published pair change only what they name.
    ``setting`` may also be the path of a table: a .json or .csv file. Raises InputError.
    """
    if _is_file(setting):
        return generated_table(dataset, setting, label_counts or {}, parameters)
    get_setting(setting)
    table = None if parameters else published_table(dataset, setting)
    if table is not None:
        return table
    if label_counts is None and dataset in published_datasets():
        label_counts = published_label_counts(dataset)
    given = {**published_parameters(dataset, setting), **(parameters or {})}
    return generated_table(dataset, setting, label_counts or {}, given)


def generated_table(
    dataset: str,
    setting: str,
    label_counts: LabelCounts,
    parameters: Mapping[str, Any] | None = None,
) -> SplitTable:
    """Return what ``setting`` makes of ``label_counts``, whatever the data set is called.

    ``setting`` may also be the path of a table: a .json or .csv file. Raises InputError.
    """
    if not _is_file(setting):
        return build_setting(setting, parameters or {}).table(dataset, label_counts)
    if parameters:
        raise InputError(f"{setting}: a table read from a file takes no parameters.")
    return FromFile(setting).table(dataset, label_counts)


def _is_file(setting: str) -> bool:
    return Path(setting).suffix.lower() in FILE_SUFFIXES
