"""What the argument DATASET of ``ndcl-domainbed splits`` stands for: a name, a folder, a list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imbalance_splits.errors import InputError
from imbalance_splits.table import LabelCounts


def get_class(dataset: str, data_dir: str) -> Any:
    """Return the class of the dataset that training would read; torch only if it must be."""
    from ndcl_domainbed.testbed import datasets

    if dataset in datasets.classes() or datasets.path_of(dataset, data_dir) is not None:
        return datasets.get_dataset_class(dataset, data_dir)
    from ndcl_domainbed.backend import get_dataset_class

    return get_dataset_class(dataset, data_dir)


def count_images(dataset: str, data_dir: str) -> LabelCounts:
    """Return domain -> class -> images of the dataset that training would read.

    For a published dataset whose folder is not in ``data_dir`` these are the published counts.
    """
    from imbalance_splits.labels import check_class_count, label_counts_of
    from imbalance_splits.published import label_counts, published_datasets

    found = get_class(dataset, data_dir)
    if hasattr(found, "count_images"):
        if dataset in published_datasets() and not (Path(data_dir) / found.FOLDER).is_dir():
            return label_counts(dataset)
        return found.count_images(data_dir)
    opened = found(data_dir, [], {"data_augmentation": False})
    check_class_count(opened.classes, dataset)
    return label_counts_of(opened)


def training_refusal(dataset: str, data_dir: str) -> str | None:
    """Return why training would not take a dataset's folders or list; None if it would.

    The images are listed as for training. That ends at the first thing wrong, which may be an
    image that is reported already.
    """
    try:
        count_images(dataset, data_dir)
    except InputError as error:
        return str(error)
    return None


def image_place(dataset: str, data_dir: str) -> Path:
    """Return the folder in which the images of a dataset are looked for, or their list.

    A path is looked for where training looks for it.
    """
    from ndcl_domainbed.testbed.datasets import path_of

    path = path_of(dataset, data_dir)
    if path is not None:
        return path
    folder = getattr(get_class(dataset, data_dir), "FOLDER", None)
    if folder is None:
        raise InputError(f"{dataset} has no folder of images to verify.")
    return Path(data_dir) / folder
