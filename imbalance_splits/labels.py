"""Labels, domains and classes of a dataset, read without decoding an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imbalance_splits.errors import InputError, join_names


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
        given = np.asarray(labels)
        found = given.astype(np.int64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{type(domain).__name__}: its labels (targets) must be the numbers of classes, "
            f"0, 1, ... ({error})."
        ) from error
    if found.ndim != 1 or (given.dtype.kind == "f" and (found != given).any()):
        raise InputError(
            f"{type(domain).__name__}: its labels (targets) must be the numbers of classes, "
            "0, 1, ..., one for each image."
        )
    return found


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
            "Fix the labels (targets) of the dataset, or its num_classes."
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


def check_dataset(
    label_counts: Mapping[str, Mapping[str, int]],
    where: str,
    *,
    every_class: bool = False,
    hint: str = "",
) -> None:
    """Raise InputError, which begins with ``where``, for a dataset that cannot be split.

    ``hint``, if given, ends the message about too few domains or classes.

    ``label_counts`` is domain -> class -> images, with every class in every row. There must be
    two domains and two classes, an image in each domain and of each class; with ``every_class``
    also of each class in each domain.
    """
    if len(label_counts) < 2:
        names = ", ".join(label_counts) or "none"
        raise InputError(f"{where} needs at least two domains; it has: {names}.{hint}")
    check_class_count(list(next(iter(label_counts.values()))), where, hint=hint)
    empty = [domain for domain, row in label_counts.items() if not any(row.values())]
    if empty:
        raise InputError(
            f"{where}: no image in domain {join_names(empty)}. Add images, or delete the domain."
        )
    classes = next(iter(label_counts.values()))
    unseen = [name for name in classes if not any(row[name] for row in label_counts.values())]
    if unseen:
        raise InputError(
            f"{where}: no domain has an image of class {join_names(unseen)}. "
            "Add images, or delete the class."
        )
    absent = describe_absent(label_counts) if every_class else []
    if absent:
        raise InputError(f"{where}: every domain needs images of every class, but {absent[0]}.")


def check_class_count(classes: Sequence[str], where: str, *, hint: str = "") -> None:
    """Raise InputError, ``where`` … ``hint``, for a dataset of fewer than two classes."""
    if len(classes) < 2:
        found = f"has only one class, {classes[0]}" if classes else "has no classes"
        raise InputError(f"{where} {found}; at least two are needed.{hint}")


def describe_absent(label_counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return a line for each domain that has no image of some of the classes.

    >>> describe_absent({"photo": {"cat": 3, "dog": 0}, "sketch": {"cat": 1, "dog": 2}})
    ['domain photo has no image of dog']
    """
    absent = {d: [name for name, n in row.items() if not n] for d, row in label_counts.items()}
    return [
        f"domain {d} has no image of {join_names(names)}" for d, names in absent.items() if names
    ]
