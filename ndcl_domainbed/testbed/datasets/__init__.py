"""The datasets: each found by its class name, any folder or list of images by its path.

A dataset is a :class:`~ndcl_domainbed.testbed.datasets.base.MultiDomainDataset` with
``ENVIRONMENTS``. It is found in a module of this package (what several datasets share lives in
sub-packages), in an installed package that names it in the entry points
'ndcl_domainbed.datasets', or in a file named by :data:`~imbalance_splits.discovery.OWN_CODE`.
Importing this package does not import torch.
"""

from __future__ import annotations

from pathlib import Path

from imbalance_splits.discovery import cached, find_classes
from imbalance_splits.errors import InputError, unknown_name
from imbalance_splits.file_list import LIST_SUFFIXES
from ndcl_domainbed.testbed.datasets.base import MultiDomainDataset

DatasetClass = type[MultiDomainDataset]


@cached
def classes() -> dict[str, DatasetClass]:
    """Return all datasets by class name, sorted."""
    return find_classes(
        __name__, "datasets", MultiDomainDataset, lambda cls: bool(cls.ENVIRONMENTS)
    )


def get_dataset_class(name: str, data_dir: str | None = None) -> DatasetClass:
    """Return the dataset called ``name``, or one made of the images at the path ``name``.

    The name of a class comes first. Otherwise ``name`` is the path of a folder
    ``domain/class/image``, or of a .json or .csv list of (domain, class, file): absolute, or
    relative to the working directory, or else to ``data_dir``. Raises InputError if there is
    nothing of the name.
    """
    from ndcl_domainbed.testbed.datasets.image_files import folder_dataset, list_dataset

    if name in classes():
        return classes()[name]
    place = path_of(name, data_dir)
    if place is None:
        raise InputError(
            f"{unknown_name('dataset', name, classes())}\nAny other name must be the path of a "
            f"folder domain/class/image, or of a list of files ({', '.join(LIST_SUFFIXES)})."
        )
    return folder_dataset(name, place) if place.is_dir() else list_dataset(name, place)


def path_of(name: str, data_dir: str | None = None) -> Path | None:
    """Return the folder or list of files that is taken for the dataset ``name``.

    None for the name of a class, and if there is neither at the path.
    """
    places = [Path(name)] if data_dir is None else [Path(name), Path(data_dir, name)]
    for place in places if name and name not in classes() else []:
        if place.is_dir() or (place.is_file() and place.suffix.lower() in LIST_SUFFIXES):
            return place
    return None
