"""A dataset given as a JSON or CSV list of (domain, class, file)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imbalance_splits.errors import InputError
from imbalance_splits.text_files import csv_rows, parse_json, read_text

_FIELDS = ("domain", "class", "file")


@dataclass(frozen=True)
class FileList:
    """The images of a dataset.

    ``domains`` maps each domain to its (file, class) pairs, sorted by class and then by file, as
    an image folder is; domains and ``classes`` are sorted by name.
    """

    domains: dict[str, list[tuple[Path, str]]]
    classes: tuple[str, ...]

    def label_counts(self) -> dict[str, dict[str, int]]:
        """Return domain -> class -> number of images, for the classes that the domain has."""
        counts: dict[str, dict[str, int]] = {}
        for domain, pairs in self.domains.items():
            row = counts.setdefault(domain, {})
            for _, name in pairs:
                row[name] = row.get(name, 0) + 1
        return counts


def read_file_list(path: Path | str, absent: list[Path] | None = None) -> FileList:
    """Return the images that a list names.

    A CSV has the columns domain, class and file; a JSON file is a list of objects with these
    keys, or of triples in this order. Files are relative to the folder of the list. Raises
    InputError, with the line or the entry, if one is incomplete, occurs twice, or names a file
    that is not there; with ``absent``, such files are left out and added to it instead.
    """
    path = Path(path)
    text = read_text(path, "a list of files")
    entries = (
        _csv_entries(text, path) if path.suffix.lower() == ".csv" else _json_entries(text, path)
    )
    domains: dict[str, list[tuple[Path, str]]] = {}
    places: dict[str, str] = {}
    for where, (domain, name, file) in entries:
        full = path.parent / file
        place = os.path.abspath(full)  # noqa: PTH100 - resolves '..' without following links
        if place in places:
            raise InputError(f"{where}: {file} occurs twice, first in {places[place]}.")
        places[place] = where
        if full.is_file():
            domains.setdefault(domain, []).append((full, name))
        elif absent is None:
            raise InputError(f"{where}: there is no file {full}.")
        else:
            absent.append(full)
    if not places:
        raise InputError(f"{path}: no images in the list.")
    return FileList(
        domains={
            d: sorted(domains[d], key=lambda pair: (pair[1], pair[0])) for d in sorted(domains)
        },
        classes=tuple(sorted({name for pairs in domains.values() for _, name in pairs})),
    )


Entry = tuple[str, tuple[str, str, str]]
"""Where an entry stands, and its domain, class and file."""


def _csv_entries(text: str, path: Path) -> Iterator[Entry]:
    for where, values in csv_rows(text, path, _FIELDS):
        yield where, _checked(values, where)


def _json_entries(text: str, path: Path) -> Iterator[Entry]:
    data = parse_json(text, path)
    if not isinstance(data, list):
        raise InputError(f"{path}: expected a list of (domain, class, file).")
    for number, item in enumerate(data, start=1):
        where = f"{path}, entry {number}"
        values = [item.get(name) for name in _FIELDS] if isinstance(item, dict) else item
        yield where, _checked(values, where)


def _checked(values: Any, where: str) -> tuple[str, str, str]:
    """Return domain, class and file, or say that one is missing."""
    right = isinstance(values, list) and len(values) == len(_FIELDS)
    if not right or not all(isinstance(value, str) and value.strip() for value in values):
        raise InputError(f"{where}: it needs a domain, a class and a file, all three as text.")
    domain, name, file = values
    return domain, name, file
