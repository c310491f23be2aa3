"""What the argument DATASET of ``ndcl-domainbed splits`` stands for: a name, a folder, a list."""

from __future__ import annotations

from pathlib import Path

from imbalance_splits.errors import InputError
from imbalance_splits.layout import check_class_count
from ndcl_domainbed.training.arguments import DEFAULT_DATA_DIR


def path_of_dataset(dataset: str, data_dir: str | None) -> Path | None:
    """Return the folder or list of files that ``dataset`` is the path of; None for a name.

    A folder below ``data_dir`` goes by its name. A list need not exist.
    """
    from ndcl_domainbed.testbed.datasets import classes, path_of
    from ndcl_domainbed.testbed.datasets.file_lists import LIST_SUFFIXES

    path, found = Path(dataset), path_of(dataset, data_dir or DEFAULT_DATA_DIR)
    if found is not None and (found == path or found.is_file()):
        return found
    is_list = dataset not in classes() and path.suffix.lower() in LIST_SUFFIXES
    return path if is_list else None


def available_counts(dataset: str, data_dir: str | None) -> dict[str, dict[str, int]] | None:
    """Return domain -> class -> images; None for a published dataset that is not counted."""
    from imbalance_splits.published import published_datasets

    if path := path_of_dataset(dataset, data_dir):
        if path.is_dir():
            from imbalance_splits.folder_scan import folder_label_counts

            return folder_label_counts(path)
        from imbalance_splits.file_list import read_file_list

        return read_file_list(path).label_counts()
    if data_dir is None and dataset in published_datasets():
        return None
    return _named_label_counts(dataset, data_dir or DEFAULT_DATA_DIR)


def _named_label_counts(dataset: str, data_dir: str) -> dict[str, dict[str, int]]:
    """Count the images of a dataset that has a class: its folder's, or those that it holds."""
    from imbalance_splits.folder_scan import folder_label_counts
    from ndcl_domainbed.backend import get_dataset_class

    found = get_dataset_class(dataset, data_dir)
    folder = getattr(found, "FOLDER", None)
    if folder is None:
        from imbalance_splits.labels import label_counts_of

        return label_counts_of(found(data_dir, [], {"data_augmentation": False}))
    root = Path(data_dir) / folder
    if not root.is_dir():
        raise InputError(f"no folder {root}; name the directory that holds it with --data_dir.")
    counts = folder_label_counts(root)
    names = zip(found.ENVIRONMENTS, found.domain_folders(root), strict=True)
    return {name: counts[folder] for name, folder in names}


def training_refusal(dataset: str, data_dir: str) -> str | None:
    """Return why training would not take a dataset's folders or list; None if it would.

    The images are listed as for training. That ends at the first thing wrong, which may be an
    image that is reported already.
    """
    from ndcl_domainbed.testbed.datasets import get_dataset_class

    try:
        found = get_dataset_class(dataset, data_dir)(data_dir, [], {"data_augmentation": False})
        check_class_count(found.classes, dataset)
    except InputError as error:
        return str(error)
    return None


def image_place(dataset: str, data_dir: str) -> Path:
    """Return the folder in which the images of a dataset are looked for, or their list.

    A path is looked for where training looks for it.
    """
    from ndcl_domainbed.testbed.datasets import get_dataset_class, path_of

    path = path_of(dataset, data_dir)
    if path is not None:
        return path
    folder = getattr(get_dataset_class(dataset, data_dir), "FOLDER", None)
    if folder is None:
        raise InputError(f"{dataset} has no folder of images to verify.")
    return Path(data_dir) / folder
