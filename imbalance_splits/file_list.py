"""A dataset given as a JSON or CSV list of (domain, class, file), with a split if it is fixed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from imbalance_splits.errors import InputError
from imbalance_splits.text_files import check_names, csv_rows, parse_json, read_text

LIST_SUFFIXES = (".json", ".csv")  # the file names that count as lists
PARTS = ("train", "val", "test")  # what the column `split` may say
_FIELDS = ("domain", "class", "file")


class ListedImage(NamedTuple):
    """An image of a list; ``part`` is one of :data:`PARTS`, '' if the list has no split."""

    file: Path
    label: str
    part: str


@dataclass(frozen=True)
class FileList:
    """The images of a dataset.

    ``domains`` maps each domain to its images, sorted by class and then by file, as an image
    folder is; domains and ``classes`` are sorted by name. ``has_split`` says whether the list
    gives each image its part of a fixed split.
    """

    domains: dict[str, list[ListedImage]]
    classes: tuple[str, ...]
    has_split: bool = False

    def label_counts(self) -> dict[str, dict[str, int]]:
        """Return domain -> class -> number of images; 0 for a class that the domain lacks."""
        found = {d: Counter(image.label for image in row) for d, row in self.domains.items()}
        return {d: {name: counts[name] for name in self.classes} for d, counts in found.items()}


def read_file_list(path: Path | str, absent: list[Path] | None = None) -> FileList:
    """Return the images that a list names.

    A CSV has the columns domain, class and file, and maybe split; a JSON file is a list of objects
    with these keys, or of lists in this order. Files are relative to the folder of the list.
    Raises InputError, with the line or the entry, if one is incomplete, has a field of another
    name, occurs twice, or names a file that is not there; with ``absent``, such files are left
    out and added to it instead.
    """
    path = Path(path)
    domains: dict[str, list[ListedImage]] = {}
    places: dict[str, str] = {}
    parts = set()
    for where, fields in _entries(path):
        domain, label, file, part = _check_fields(fields, where)
        full = path.parent / file
        place = os.path.abspath(full)  # noqa: PTH100 - resolves '..' without following links
        if place in places:
            raise InputError(f"{where}: {file} occurs twice, first in {places[place]}.")
        places[place] = where
        parts.add(part)
        try:
            is_there = full.is_file()
        except OSError as error:  # its name is too long, for example
            raise InputError(
                f"{where}: cannot look for the file {file[:80]} ({error.strerror})."
            ) from error
        if is_there:
            domains.setdefault(domain, []).append(ListedImage(full, label, part))
        elif absent is None:
            raise InputError(f"{where}: there is no file {full}.")
        else:
            absent.append(full)
    if not places:
        raise InputError(f"{path}: no images in the list.")
    if "" in parts and len(parts) > 1:
        raise InputError(f"{path}: some images have a split and others have none.")
    return FileList(
        domains={d: sorted(domains[d], key=lambda x: (x.label, x.file)) for d in sorted(domains)},
        classes=tuple(sorted({image.label for row in domains.values() for image in row})),
        has_split="" not in parts,
    )


def _entries(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield where each entry of a list stands, and its fields by name."""
    text = read_text(path, "a list of files")
    if path.suffix.lower() == ".csv":
        yield from csv_rows(text, path, _FIELDS, ("split",))
        return
    data = parse_json(text, path)
    if not isinstance(data, list):
        raise InputError(f"{path}: expected a list of (domain, class, file).")
    for number, item in enumerate(data, start=1):
        where = f"{path}, entry {number}"
        if isinstance(item, list) and len(item) in (3, 4):
            item = dict(zip((*_FIELDS, "split"), item, strict=False))
        if not isinstance(item, dict):
            raise InputError(f"{where}: expected a domain, a class, a file and maybe a split.")
        check_names(list(item), _FIELDS, ("split",), where, "field")
        yield where, item


def _check_fields(fields: dict[str, Any], where: str) -> tuple[str, str, str, str]:
    """Return domain, class, file and part. Raises InputError if one is missing or wrong."""
    values = [fields[name] for name in _FIELDS]
    if not all(isinstance(value, str) and value.strip() for value in values):
        raise InputError(f"{where}: it needs a domain, a class and a file, all three as text.")
    if "split" not in fields:
        return values[0], values[1], values[2], ""
    part = str(fields["split"]).strip().lower()
    if part not in PARTS:
        raise InputError(f"{where}: split {fields['split']!r} is not one of {', '.join(PARTS)}.")
    return values[0], values[1], values[2], part
