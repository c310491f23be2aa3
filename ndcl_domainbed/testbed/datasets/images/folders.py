"""What lies in the folders of a dataset, without decoding an image."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from imbalance_splits.errors import InputError
from imbalance_splits.folder_scan import fail
from imbalance_splits.layout import IMAGE_EXTENSIONS, class_folders, is_image, list_folder

Samples = list[tuple[str, int]]
"""Images of a domain: path and label, in the order of the labels, then of the paths."""

_NAMED = 5
"""How many names an error lists before it counts the rest."""


def subfolders(folder: Path) -> list[str]:
    """Return the names of the sub-folders, sorted; names that begin with a dot are skipped.

    Raises InputError if the folder cannot be read.
    """
    try:
        return list_folder(folder).folders
    except OSError as error:
        _refuse(error)


def _refuse(error: OSError) -> NoReturn:
    raise InputError(f"cannot read the folder {error.filename} ({error.strerror}).") from error


def images_below(folder: Path) -> list[str]:
    """Return the paths of the images in ``folder`` and below it.

    They come in the order of torchvision's ImageFolder, which the seeds of DomainBed's splits
    refer to: sorted by the folder's path, then by the file's name. Raises InputError if one of
    the folders cannot be read.
    """
    try:
        walk = sorted(os.walk(folder, onerror=fail, followlinks=True))
    except OSError as error:
        _refuse(error)
    return [
        os.path.join(parent, name)  # noqa: PTH118 - ten times as fast as Path for many files
        for parent, _, names in walk
        for name in sorted(names)
        if is_image(name)
    ]


def find_class_folders(domains: Sequence[Path]) -> list[dict[str, Path]]:
    """Return class -> folder of every domain, the classes sorted and the same in all.

    Which folders are the classes: see :func:`~imbalance_splits.layout.class_folders`. Raises
    InputError if a domain has no class folder, the domains differ in them, the layout is
    ambiguous, or a folder cannot be read.
    """
    try:
        layout = class_folders({domain.name: domain for domain in domains})
    except OSError as error:
        _refuse(error)
    for domain in domains:
        if not layout[domain.name]:
            raise InputError(
                f"{domain} has no class folders; images are looked for in "
                f"{domain.parent}/<domain>/<class>/<image>."
            )
    found = {name: list(row) for name, row in layout.items()}
    same_classes(found, str(domains[0].parent), "class folders")
    return list(layout.values())


def same_classes(found: Mapping[str, Sequence[str]], place: str, what: str) -> list[str]:
    """Return the classes of all domains, sorted. Raises InputError if the domains differ."""
    every = sorted(set().union(*found.values()))
    lacking = {domain: set(every).difference(classes) for domain, classes in found.items()}
    odd = [f"{domain} lacks {_some(names)}" for domain, names in lacking.items() if names]
    if odd:
        raise InputError(
            f"the domains of {place} differ in their {what}: {'; '.join(odd)}. "
            "Every domain needs the same classes."
        )
    return every


def domain_samples(classes: Mapping[str, Path]) -> Samples:
    """Return the images of a domain, given class -> folder in the order of the labels.

    Raises InputError if a class has none.
    """
    samples: Samples = []
    for label, folder in enumerate(classes.values()):
        paths = images_below(folder)
        if not paths:
            raise InputError(
                f"{folder} holds no image ({', '.join(IMAGE_EXTENSIONS)}). "
                "Every domain needs images of every class."
            )
        samples += [(path, label) for path in paths]
    return samples


def check_domains(root: Path, dataset: str, usual: Sequence[str]) -> list[str]:
    """Return the domain folders below ``root``, sorted, if they are those of a known dataset.

    ``usual`` are the usual names of its folders, sorted. As in DomainBed the order decides, so
    any names will do that are as many and begin with the same letters. Raises InputError that
    names what is missing or too much.
    """
    found = subfolders(root)
    if [name[0].lower() for name in found] == [name[0].lower() for name in usual]:
        return found
    missing = [name for name in usual if name not in found]
    surplus = [name for name in found if name not in usual]
    raise InputError(
        f"{root} is not {dataset} as it should be, with the domain folders {', '.join(usual)}.\n"
        f"Missing: {', '.join(missing) or 'none'}. Not a domain: {_some(surplus) or 'none'}."
    )


def _some(names: Iterable[str]) -> str:
    """Return the first few of ``names``, and how many more there are."""
    ordered = sorted(names)
    more = f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else ""
    return ", ".join(ordered[:_NAMED]) + more
