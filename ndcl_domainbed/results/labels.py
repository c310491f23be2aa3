"""How tables name runs whose hyper-parameters were overridden.

What the overrides change of the network stands behind the dataset: ``PACS [resnet18]``. The others
stand behind the algorithm: ``NDCL (class_prior=logit)``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ndcl_domainbed.variant_names import TITLES

SINGLE_SOURCE = "single source"
"""Stands behind a dataset for the runs that train on one domain and are tested on all others."""

Pair = tuple[str, str]  # a hyper-parameter and its value, both as text


_FOLDERS = re.compile(r"(?<![\w.:/])/(?:[^\s/'\"]+/)+")  # the folders of an absolute path


def without_folders(text: str) -> str:
    """Return ``text`` with file names in place of absolute paths, so that it can be passed on.

    >>> without_folders("no such file: /home/me/faces/cat.png")
    'no such file: cat.png'
    """
    return _FOLDERS.sub("", text)


def dataset_label(dataset: str, network: str) -> str:
    """Return the name of a dataset whose images a certain network sees.

    >>> dataset_label("PACS", "resnet18"), dataset_label("PACS", "")
    ('PACS [resnet18]', 'PACS')
    """
    return f"{dataset} [{network}]" if network else dataset


def base_dataset(label: str) -> str:
    """Return the dataset in a label.

    >>> base_dataset("PACS [frozen resnet18, 128 px]")
    'PACS'
    """
    return label.rpartition(" [")[0] if network_in(label) else label


def network_in(label: str) -> str:
    """Return the network in a label; empty for the usual one.

    >>> network_in("PACS [frozen resnet18, 128 px]"), network_in("PACS")
    ('frozen resnet18, 128 px', '')
    """
    base, _, end = label.rpartition(" [")
    return end[:-1] if base and end.endswith("]") else ""


def is_frozen(label: str) -> bool:
    """Return whether the runs of a label trained on the features of a frozen network."""
    return network_in(label).startswith("frozen ")


def is_single_source(label: str) -> bool:
    """Return whether the runs of a label train on one domain, which is what their columns name."""
    return network_in(label).endswith(SINGLE_SOURCE)


def row_label(algorithm: str, pairs: Iterable[Pair]) -> str:
    """Return the name of an algorithm with other hyper-parameters than its board's other runs.

    >>> row_label("NDCL", [("alpha", "0"), ("beta", "0")]), row_label("NDCL", [])
    ('NDCL (alpha=0, beta=0)', 'NDCL')
    """
    text = pairs_text(pairs)
    return f"{algorithm} ({text})" if text else algorithm


def variant_label(variant: str) -> str:
    """Return what stands behind an algorithm for a variant of its runs' evaluation.

    >>> variant_label("swad"), variant_label("ema:decay=0.99"), variant_label("")
    (' + SWAD', ' + EMA (decay=0.99)', '')
    """
    name, _, parameters = variant.partition(":")
    title = TITLES.get(name, name) + (f" ({parameters})" if parameters else "")
    return f" + {title}" if variant else ""


def pairs_text(pairs: Iterable[Pair]) -> str:
    """Return "alpha=0, beta=0"."""
    return ", ".join(f"{name}={value}" for name, value in pairs)


def base_algorithm(row: str) -> str:
    """Return the algorithm in the name of a row.

    >>> base_algorithm("NDCL (alpha=0, beta=0)"), base_algorithm("NDCL + SWAD")
    ('NDCL', 'NDCL')
    """
    return re.sub(r"( \(.*\))?( \+ [^+]*)?$", "", row)
