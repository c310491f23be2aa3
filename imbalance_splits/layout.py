"""Where the images of a dataset lie: ``domain/class/image``, or with one folder between.

Some datasets are published as ``domain/images/class/image`` (Office-31, for example). Every
scanner of folders asks :func:`class_folders` which folders are the classes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from imbalance_splits.errors import InputError

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""The file names that count as images, the same as torchvision's ImageFolder."""

Layout = dict[str, dict[str, Path]]
"""domain -> class -> folder; domains in their given order, classes sorted by name."""


class Entries(NamedTuple):
    """What a folder holds directly: its visible sub-folders, sorted, and how many images."""

    folders: list[str]
    images: int


Lister = Callable[[Path], Entries]


def is_image(name: str) -> bool:
    """Say whether a file of this name counts as an image."""
    return name.lower().endswith(IMAGE_EXTENSIONS)


def list_folder(folder: Path) -> Entries:
    """Return what ``folder`` holds directly; names that begin with a dot are left out.

    Raises OSError if the folder cannot be read.
    """
    folders, images = [], 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                folders.append(entry.name)
            else:
                images += is_image(entry.name)
    return Entries(sorted(folders), images)


def domain_folders(root: Path, lister: Lister = list_folder) -> dict[str, Path]:
    """Return domain -> folder for every folder in ``root``, sorted by name."""
    return {name: root / name for name in lister(root).folders}


def class_folders(domains: Mapping[str, Path], lister: Lister = list_folder) -> Layout:
    """Return the class folders of every domain, given domain -> folder.

    The classes are the sub-folders of a domain. If a domain has a single sub-folder that holds
    only folders, that level is skipped and the classes are the folders in it. A folder that is
    a class of another domain is never skipped. Raises InputError for a single sub-folder that
    holds both images and folders, and OSError for a folder that cannot be read.
    """
    children = {domain: lister(folder).folders for domain, folder in domains.items()}
    single = {
        domain: lister(domains[domain] / names[0])
        for domain, names in children.items()
        if len(names) == 1
    }
    classes = {name for names in children.values() if len(names) > 1 for name in names}
    classes |= {children[d][0] for d, inside in single.items() if not inside.folders}
    layout: Layout = {}
    for domain, folder in domains.items():
        parent, names = folder, children[domain]
        if domain in single and names[0] not in classes:
            parent, names = folder / names[0], single[domain].folders
            if single[domain].images:
                raise _ambiguous(parent)
        layout[domain] = {name: parent / name for name in names}
    return layout


def skipped_folders(domains: Mapping[str, Path], layout: Layout) -> list[Path]:
    """Return the folders between a domain and its classes that ``layout`` skips."""
    parents = [next(iter(row.values())).parent for row in layout.values() if row]
    return [parent for parent in parents if parent not in domains.values()]


def check_class_count(classes: Sequence[str], where: str) -> None:
    """Raise InputError, which begins with ``where``, for a dataset of a single class."""
    if len(classes) == 1:
        raise InputError(
            f"{where}: it has only one class, {classes[0]}; two are the least.\n"
            "Images are looked for in <domain>/<class>/<image>, with at most one folder more "
            "between domain and class."
        )


def _ambiguous(folder: Path) -> InputError:
    return InputError(
        f"{folder} is the only folder of its domain and holds both images and folders: it may be "
        "a class, or a level above the classes.\n"
        "Move its images into class folders, or its sub-folders away."
    )
