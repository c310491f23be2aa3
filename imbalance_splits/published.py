"""The label counts and split tables that the authors of NDCL published, shipped as data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imbalance_splits.errors import unknown_name
from imbalance_splits.table import SplitTable

TABLES = Path(__file__).parent / "tables"

ENVIRONMENTS: Mapping[str, tuple[str, ...]] = {
    "PACS": ("A", "C", "P", "S"),
    "VLCS": ("C", "L", "S", "V"),
    "OfficeHome": ("A", "C", "P", "R"),
    "DomainNet": ("clip", "info", "paint", "quick", "real", "sketch"),
}
"""The domains of each data set in DomainBed's order."""

FOLDERS: Mapping[str, tuple[str, ...]] = {
    "PACS": ("art_painting", "cartoon", "photo", "sketch"),
    "VLCS": ("Caltech101", "LabelMe", "SUN09", "VOC2007"),
    "OfficeHome": ("Art", "Clipart", "Product", "Real World"),
    "DomainNet": ("clipart", "infograph", "painting", "quickdraw", "real", "sketch"),
}
"""The usual name of each domain's folder, in the same order."""

_HEAVY = {"validation": 5, "c": 3.0}
_PARAMETERS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "PACS": {
        "TotalHeavyTail": {"validation": 15, "c": 3.0},
        "Cross": {"validation": 15, "c": 3.0, "middle": 0.3},
        "Duality": {"validation": 15, "c": 3.0, "middle_range": (40, 50)},
    },
    "VLCS": {
        "TotalHeavyTail": _HEAVY,
        "Cross": {**_HEAVY, "middle": 0.3},
        "Duality": {**_HEAVY, "middle_range": (40, 50)},
    },
    "OfficeHome": {
        "TotalHeavyTail": _HEAVY,
        "Cross": {**_HEAVY, "middle": 0.3},
        "Duality": {**_HEAVY, "middle_range": (65, 70)},
    },
    "DomainNet": {
        "TotalHeavyTail": {"validation": 5, "c": 2.0},
        "Duality": {"validation": 5, "c": 2.0, "middle_range": (40, 50)},
    },
}


def _read(name: str) -> Any:
    return json.loads((TABLES / name).read_text(encoding="utf-8"))


def published_datasets() -> tuple[str, ...]:
    """Return the names of the data sets whose label counts are shipped."""
    return tuple(ENVIRONMENTS)


def published_settings(dataset: str) -> list[str]:
    """Return the settings whose table for ``dataset`` is shipped, by name."""
    if dataset not in ENVIRONMENTS:  # a path of a user's own folder, for example
        return []
    return sorted(path.stem.split("-")[1] for path in TABLES.glob(f"{dataset}-*.json"))


def published_parameters(dataset: str, setting: str) -> dict[str, Any]:
    """Return the parameters that generate the published table; empty if there are none."""
    return dict(_PARAMETERS.get(dataset, {}).get(setting, {}))


def label_counts(dataset: str) -> dict[str, dict[str, int]]:
    """Return domain -> class -> images of ``dataset``, as the authors used it.

    The domains are in the authors' order, in which Duality draws its random numbers; for VLCS
    it is C, L, V, S and not DomainBed's. The counts of VLCS are those of a 70 % subset. Raises
    InputError for a data set that is not among :func:`published_datasets`.
    """
    datasets = _read("label_counts.json")["datasets"]
    if dataset not in datasets:
        raise unknown_name("data set with published label counts", dataset, published_datasets())
    counts: dict[str, dict[str, int]] = datasets[dataset]["counts"]
    return counts


def published_table(dataset: str, setting: str) -> SplitTable | None:
    """Return the published table of ``dataset`` under ``setting``, or None if there is none."""
    if setting not in published_settings(dataset):
        return None
    name = f"{dataset}-{setting}.json"
    return SplitTable.from_json(_read(name), name, ENVIRONMENTS[dataset])
