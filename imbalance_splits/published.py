"""The label counts and split tables that are shipped as data.

Those of PACS, VLCS, OfficeHome and DomainNet are the ones that the authors of NDCL published.
Those of Office-31 and Office-Caltech-10 were made for this package: the images of public copies
were counted, and the settings generated the tables (see ``docs/splits.md``). :func:`origin`
tells which is which, and so does the provenance of every table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imbalance_splits.errors import InputError, unknown_name
from imbalance_splits.table import SplitTable

TABLES = Path(__file__).parent / "tables"

DOMAINS: Mapping[str, Mapping[str, str]] = {
    "PACS": {"A": "art_painting", "C": "cartoon", "P": "photo", "S": "sketch"},
    "VLCS": {"C": "Caltech101", "L": "LabelMe", "S": "SUN09", "V": "VOC2007"},
    "OfficeHome": {"A": "Art", "C": "Clipart", "P": "Product", "R": "Real World"},
    "DomainNet": {
        "clip": "clipart",
        "info": "infograph",
        "paint": "painting",
        "quick": "quickdraw",
        "real": "real",
        "sketch": "sketch",
    },
    "Office31": {"A": "amazon", "D": "dslr", "W": "webcam"},
    "OfficeCaltech10": {"A": "amazon", "C": "caltech10", "D": "dslr", "W": "webcam"},
}
"""The usual folder of each domain of a dataset, in DomainBed's order, that of the folders."""

AUTHORS = "authors of NDCL"  # what the source of the authors' own tables and counts begins with
_LABEL_COUNTS = ("label_counts.json", "office_label_counts.json")
"""The authors' file as it is, and our own."""


def _read(name: str) -> Any:
    return json.loads((TABLES / name).read_text(encoding="utf-8"))


def published_datasets() -> tuple[str, ...]:
    """Return the names of the datasets whose label counts are shipped."""
    return tuple(DOMAINS)


def authors_datasets() -> tuple[str, ...]:
    """Return the names of the datasets whose counts and tables NDCL's authors published."""
    return tuple(name for name in DOMAINS if origin(name).startswith(AUTHORS))


def published_settings(dataset: str) -> list[str]:
    """Return the settings whose table for ``dataset`` is shipped, by name."""
    if dataset not in DOMAINS:  # a path of a user's own folder, for example
        return []
    return sorted(path.stem.split("-")[1] for path in TABLES.glob(f"{dataset}-*.json"))


def published_parameters(dataset: str, setting: str) -> dict[str, Any]:
    """Return the parameters that generate the shipped table; empty if there are none."""
    return dict(_read("parameters.json").get(dataset, {}).get(setting, {}))


def origin(dataset: str) -> str:
    """Return where the shipped label counts of ``dataset`` come from.

    Raises InputError for a dataset that is not among :func:`published_datasets`.
    """
    return _read_counts(dataset)[1]


def label_counts(dataset: str) -> dict[str, dict[str, int]]:
    """Return domain -> class -> images of ``dataset``, as shipped.

    The domains are in the order in which Duality draws its random numbers; for VLCS it is the
    authors' C, L, V, S and not DomainBed's. The counts of VLCS are those of a 70 % subset. Raises
    InputError for a dataset that is not among :func:`published_datasets`.
    """
    return _read_counts(dataset)[0]


def _read_counts(dataset: str) -> tuple[dict[str, dict[str, int]], str]:
    """Return the label counts of ``dataset`` and where they come from."""
    for name in _LABEL_COUNTS:
        data = _read(name)
        if dataset in data["datasets"]:
            entry = data["datasets"][dataset]
            return entry["counts"], entry.get("source") or data["source"]
    raise unknown_name("dataset with published label counts", dataset, published_datasets())


def published_table(dataset: str, setting: str) -> SplitTable | None:
    """Return the shipped table of ``dataset`` under ``setting``, or None if there is none."""
    if setting not in published_settings(dataset):
        return None
    name = f"{dataset}-{setting}.json"
    return SplitTable.from_json(_read(name), name, tuple(DOMAINS[dataset]))


def describe_twin(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return a line that names the published dataset that ``counts`` are those of, if any.

    ``counts`` are by the names of folders.
    """
    for name, folders in DOMAINS.items():
        if list(folders.values()) == list(counts):
            published = label_counts(name)
            if all(published[domain] == counts[folder] for domain, folder in folders.items()):
                return [
                    f"these are the domains and label counts of {name}: to train on its published "
                    f"tables, name the dataset {name}, with --data_dir for the folder that holds it"
                ]
    return []


def find_domains(words: Sequence[int | str], dataset: str, names: Sequence[str]) -> list[int]:
    """Return the indices of domains that are given by index or name; ``names`` are all of them.

    The domains of a published dataset also go by the names of their folders, in any case. Raises
    InputError for a domain that ``dataset`` does not have.

    >>> find_domains(["photo", 0, "S"], "PACS", ["A", "C", "P", "S"])
    [2, 0, 3]
    """
    folders = list(DOMAINS.get(dataset, {}).values())
    index = {name.lower(): i for i, name in enumerate(folders)}
    index |= {name.lower(): i for i, name in enumerate(names)}
    found = [index.get(word.lower(), word) if isinstance(word, str) else word for word in words]
    for env in found:
        if isinstance(env, str):
            raise unknown_name(f"domain of {dataset}", env, list(dict.fromkeys([*names, *folders])))
    indices = [int(env) for env in found]
    check_domains(indices, dataset, names)
    return indices


def check_domains(envs: Sequence[int], dataset: str, names: Sequence[str]) -> None:
    """Raise InputError unless every one of ``envs`` is an index of ``names``."""
    for env in envs:
        if not 0 <= env < len(names):
            raise InputError(
                f"{dataset} has no domain {env}; its domains are "
                + ", ".join(f"{i} ({name})" for i, name in enumerate(names))
            )
