"""FromFile: a user's own table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imbalance_splits.errors import InputError
from imbalance_splits.settings.base import Setting
from imbalance_splits.table import LabelCounts, SplitTable
from imbalance_splits.text_files import csv_rows, find_repeated, parse_json, read_text

FILE_SUFFIXES = (".json", ".csv")
_COLUMNS = ("target", "source", "class", "count")


@dataclass(frozen=True)
class FromFile(Setting):
    """A table of one's own, read from ``path``: .json in the published form, or .csv.

    The CSV has the columns target, source, class and count; its thresholds and validation size
    are the defaults of :meth:`SplitTable.from_json`.
    """

    path: str

    def table(self, dataset: str, label_counts: LabelCounts) -> SplitTable:
        """Return the checked table.

        Raises InputError if the file cannot be read, contradicts itself, or asks for more images
        than ``label_counts`` have (where they are given).
        """
        path = Path(self.path)
        text = read_text(path, "a split table")
        data = _parse_csv(text, path) if path.suffix.lower() == ".csv" else _parse_json(text, path)
        table = SplitTable.from_json({"dataset": dataset, **data}, str(path), tuple(label_counts))
        _check_available(table, label_counts, path)
        return table


def _parse_json(text: str, path: Path) -> Mapping[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Refuse a name that occurs twice: the json module would keep the last in silence."""
        twice = find_repeated(name for name, _ in pairs)
        if twice:
            raise InputError(f"{path}: {twice[0]!r} occurs twice in the same place; keep one.")
        return dict(pairs)

    data = parse_json(text, path, once)
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected a JSON object with 'train_counts'.")
    return data


def _parse_csv(text: str, path: Path) -> Mapping[str, Any]:
    counts: dict[str | None, dict[str | None, dict[str | None, int]]] = {}
    for where, line in csv_rows(text, path, _COLUMNS):
        target, source, name, count = (line[column] for column in _COLUMNS)
        row = counts.setdefault(target, {}).setdefault(source, {})
        if name in row:
            raise InputError(f"{where}: ({target}, {source}, {name}) occurs twice; keep one.")
        if count is None or not count.strip().isdecimal():
            raise InputError(f"{where}: count {count!r}; give a whole number >= 0.")
        row[name] = int(count)
    return {"train_counts": counts}


def _check_available(table: SplitTable, label_counts: LabelCounts, path: Path) -> None:
    """Raise InputError where the table names what the dataset lacks or asks for too much."""
    if not label_counts:
        return
    for target, rows in table.train_counts.items():
        for domain in (target, *rows):
            if domain not in label_counts:
                known = ", ".join(label_counts)
                raise InputError(f"{path}: the dataset has no domain {domain!r}; it has: {known}.")
        validation = table.validation_per_class[target]
        for source, row in rows.items():
            for name, count in row.items():
                where = f"{path}, target {target}, source {source}, class {name}"
                have = label_counts[source].get(name)
                if have is None:
                    raise InputError(f"{where}: the dataset has no such class.")
                if count + validation > have and (count or have):
                    raise InputError(
                        f"{where}: {count} training and {validation} validation images asked for, "
                        f"but it has {have}."
                    )
