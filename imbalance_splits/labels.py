"""What a DomainBed-style data set says about itself, read without decoding an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from imbalance_splits.errors import InputError


def labels_of(domain: Any) -> np.ndarray:
    """Return the class of every image of one domain, int64 (N), in the order of the images.

    They come from ``.targets`` (image folders) or from the second tensor (TensorDataset). Raises
    InputError for a data set with neither.
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
    return np.asarray(labels).astype(np.int64)


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
    """Return the names of the classes, in label order; '0', '1', … if the data set names none.

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
    """Return domain -> class -> number of images, in the order of the data set."""
    classes = class_names(dataset)
    counts = {}
    for i, name in enumerate(environment_names(dataset)):
        sizes = np.bincount(labels_of(dataset[i]), minlength=len(classes))
        if len(sizes) > len(classes):
            raise InputError(
                f"{type(dataset).__name__}, domain {name}: label {len(sizes) - 1}, "
                f"but only {len(classes)} classes."
            )
        counts[name] = dict(zip(classes, sizes.tolist(), strict=True))
    return counts
