"""What a DomainBed-style dataset says about itself, read without decoding an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from imbalance_splits.errors import InputError


def labels_of(domain: Any) -> np.ndarray:
    """Return the class of every image of one domain, int64 (N), in the order of the images.

    They come from ``.targets`` (image folders) or from the second tensor (TensorDataset). Raises
    InputError for a dataset with neither, and for labels that are no numbers.
    """
    labels = getattr(domain, "targets", None)
    tensors = getattr(domain, "tensors", None)
    if labels is None and tensors is not None and len(tensors) > 1:
        labels = tensors[1]
    if labels is None:
        raise InputError(
            f"{type(domain).__name__}: its labels cannot be read without decoding images; "
            "give it a .targets list."
        )
    try:
        return np.asarray(labels).astype(np.int64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{type(domain).__name__}: its labels (targets) are to be the numbers of the classes, "
            f"0, 1, ... ({error})."
        ) from error


def class_labels(domain: Any, num_classes: int, name: str) -> np.ndarray:
    """Return the labels of a domain, int64 (N), all in 0..K-1 with K = ``num_classes``.

    Raises InputError, which calls the domain ``name``, for a label that is no class: in training
    it would be an index out of range deep in a loss, and on a GPU an error that names neither.
    """
    labels = labels_of(domain)
    odd = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(odd):
        raise InputError(
            f"{name}: image {odd[0]} has the label {labels[odd[0]]}, but labels are 0 to "
            f"{num_classes - 1}, for num_classes = {num_classes}.\n"
            "Correct the labels (targets) of the dataset, or its num_classes."
        )
    return labels


def environment_names(dataset: Any) -> list[str]:
    """Return the names of the domains, in order.

    Raises InputError if there are not as many domains as ``ENVIRONMENTS`` names: a folder beside
    those of the domains, for example.
    """
    names = list(getattr(dataset, "ENVIRONMENTS", None) or map(str, range(len(dataset))))
    if len(names) != len(dataset):
        found = [folder_name(dataset[i]) or str(i) for i in range(len(dataset))]
        raise InputError(
            f"{type(dataset).__name__}: expected the {len(names)} domains {', '.join(names)}, "
            f"found {len(found)}: {', '.join(found)}."
        )
    return names


def folder_name(domain: Any) -> str | None:
    """Return the name of the folder that the domain was read from; None if it has none.

    It is that of ``.root``, or else the folder above the first sample's class folder.
    """
    root = getattr(domain, "root", None)
    if isinstance(root, str | Path):
        return Path(root).name
    samples = getattr(domain, "samples", None)
    if not samples:
        return None
    path, label = samples[0]
    above = (folder for folder in Path(path).parents if folder.name == domain.classes[label])
    return next((folder.parent.name for folder in above), None)


def class_names(dataset: Any) -> list[str]:
    """Return the names of the classes, in label order; '0', '1', … if the dataset names none.

    Raises InputError if the domains do not have the same classes.
    """
    named = [
        (folder_name(dataset[i]) or str(i), list(dataset[i].classes))
        for i in range(len(dataset))
        if getattr(dataset[i], "classes", None) is not None
    ]
    for domain, classes in named[1:]:
        odd = sorted(set(classes) ^ set(named[0][1]))
        if odd or classes != named[0][1]:
            raise InputError(
                f"{type(dataset).__name__}: domains {named[0][0]} and {domain} differ in their "
                f"classes: {', '.join(odd) or 'their order'}."
            )
    names = getattr(dataset, "classes", None)
    if names is None:
        names = named[0][1] if named else map(str, range(dataset.num_classes))
    return list(names)


def label_counts_of(dataset: Any) -> dict[str, dict[str, int]]:
    """Return domain -> class -> number of images, in the order of the dataset."""
    classes = class_names(dataset)
    counts = {}
    for i, name in enumerate(environment_names(dataset)):
        labels = class_labels(dataset[i], len(classes), f"{type(dataset).__name__}, domain {name}")
        sizes = np.bincount(labels, minlength=len(classes))
        counts[name] = dict(zip(classes, sizes.tolist(), strict=True))
    return counts
