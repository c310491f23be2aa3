"""The data sets: each found by its class name, any folder or list of images by its path.

Every module of this package is searched for data sets, so a new one is one new file with a
:class:`~ndcl_domainbed.testbed.datasets.base.MultiDomainDataset` in it; what several data sets
share lives in sub-packages. Importing this package does not import torch.
"""

from __future__ import annotations

import pkgutil
from pathlib import Path

from imbalance_splits.errors import InputError, defined_twice, unknown_name
from imbalance_splits.importing import imported
from ndcl_domainbed.testbed.datasets.base import MultiDomainDataset

DatasetClass = type[MultiDomainDataset]


def _discover() -> dict[str, DatasetClass]:
    """Return the data sets that the modules of this package define, by class name.

    Raises InputError for a module that cannot be imported, and if two define the same name.
    """
    found: dict[str, DatasetClass] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        if module.ispkg:
            continue
        for cls in vars(imported(module.name, "data sets")).values():
            if not isinstance(cls, type) or not issubclass(cls, MultiDomainDataset):
                continue
            if cls.__module__ != module.name or not cls.ENVIRONMENTS:
                continue
            name = cls.__name__
            if name in found:
                raise defined_twice("a data set", name, found[name], cls)
            found[name] = cls
    return found


_CLASSES = _discover()

DATASETS: list[str] = sorted(_CLASSES)
"""The names of the data sets."""


def get_dataset_class(name: str, data_dir: str | None = None) -> DatasetClass:
    """Return the data set called ``name``, or one made of the images at the path ``name``.

    A name of :data:`DATASETS` comes first. Otherwise ``name`` is the path of a folder
    ``domain/class/image``, or of a .json or .csv list of (domain, class, file): absolute, or
    relative to the working directory, or else to ``data_dir``. Raises InputError if there is
    nothing of the name.
    """
    from ndcl_domainbed.testbed.datasets.file_lists import LIST_SUFFIXES, list_dataset
    from ndcl_domainbed.testbed.datasets.image_folders import folder_dataset

    if name in _CLASSES:
        return _CLASSES[name]
    place = path_of(name, data_dir)
    if place is None:
        raise InputError(
            f"{unknown_name('dataset', name, DATASETS)}\nAny other name must be the path of a "
            f"folder domain/class/image, or of a list of files ({', '.join(LIST_SUFFIXES)})."
        )
    return folder_dataset(name, place) if place.is_dir() else list_dataset(name, place)


def path_of(name: str, data_dir: str | None = None) -> Path | None:
    """Return the folder or list of files that is taken for the data set ``name``.

    None for a name of :data:`DATASETS`, and if there is neither at the path.
    """
    from ndcl_domainbed.testbed.datasets.file_lists import LIST_SUFFIXES

    places = [Path(name)] if data_dir is None else [Path(name), Path(data_dir, name)]
    for place in places if name and name not in _CLASSES else []:
        if place.is_dir() or (place.is_file() and place.suffix.lower() in LIST_SUFFIXES):
            return place
    return None


def environment_names(name: str, data_dir: str | None = None) -> list[str]:
    """Return the names of the domains of a data set, in index order."""
    return list(get_dataset_class(name, data_dir).ENVIRONMENTS)


def num_environments(name: str, data_dir: str | None = None) -> int:
    """Return the number of domains of a data set."""
    return len(environment_names(name, data_dir))
