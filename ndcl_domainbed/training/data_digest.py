"""A digest of the data of a run, by which a later attempt notices that they changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any

from imbalance_splits.datasets import SplitDataset
from imbalance_splits.labels import labels_of
from ndcl_domainbed.features.image_list import stat_file

Files = Sequence[tuple[str, int]]
"""Name and size in bytes of each file of a domain."""


def digest_data(dataset: SplitDataset, files: Sequence[Files] | None) -> dict[str, Any]:
    """Return the digest of a split dataset: what it is made of and how it is split.

    ``images``: their number; ``files``: a digest of the names, relative to their domain, and
    sizes (None for images that are in no file); ``labels``: of the labels and names of classes and
    domains; ``table``: of the parts and thresholds of an imbalanced or fixed split (None for
    DomainBed's ordinary one). ``files`` are those of each domain, as of :func:`find_files`.
    """
    labels = [labels_of(domain).tolist() for domain in _domains(dataset)]
    parts = [list(part.indices) for part in dataset.evaluation_sets.values()]
    table = None
    if dataset.thresholds is not None:
        table = [parts, list(vars(dataset.thresholds).values())]
    return {
        "images": sum(map(len, labels)),
        "files": None if files is None else _digest([_relative(one) for one in files]),
        "labels": _digest([labels, list(dataset.classes), list(dataset.environments)]),
        "table": None if table is None else _digest(table),
    }


def find_files(dataset: SplitDataset) -> list[Files] | None:
    """Return the files of each domain; None if the images are in no files.

    Raises InputError if a file is gone.
    """
    domains = _domains(dataset)
    if not all(hasattr(domain, "samples") for domain in domains):
        return None
    return [[(str(path), stat_file(path)[0]) for path, _ in domain.samples] for domain in domains]


def _domains(dataset: SplitDataset) -> list[Any]:
    return [
        next(part.dataset for (at, _), part in dataset.evaluation_sets.items() if at == env)
        for env in range(len(dataset.environments))
    ]


def _relative(files: Files) -> list[tuple[str, int]]:
    """Return the files sorted, their names relative to the folder that they share."""
    folders = {os.path.dirname(name) for name, _ in files}  # noqa: PTH120 - many files
    start = os.path.commonpath(folders) if folders else ""
    return sorted((name[len(start) :].lstrip("/"), int(size)) for name, size in files)


def _digest(content: Any) -> str:
    return hashlib.blake2b(repr(content).encode(), digest_size=8).hexdigest()
