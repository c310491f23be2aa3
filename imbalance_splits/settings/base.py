"""What a setting is, and what the generated ones share."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from imbalance_splits.errors import InputError
from imbalance_splits.table import (
    DEFAULT_VALIDATION,
    LabelCounts,
    SplitTable,
    Thresholds,
    TrainCounts,
    default_thresholds,
)

GENERATOR_VERSION = 1
"""Raised whenever a setting's training counts change for the same label counts and parameters."""

Counts = dict[str, dict[str, int]]  # domain -> class -> images that may be trained on or tested


class Setting(ABC):
    """A rule that gives a dataset its split table."""

    @abstractmethod
    def table(self, dataset: str, label_counts: LabelCounts) -> SplitTable:
        """Return the table of ``dataset``, whose images are counted in ``label_counts``."""


@dataclass(frozen=True, kw_only=True)
class GeneratedSetting(Setting):
    """A setting that computes training counts from label counts.

    ``validation`` images of each (domain, class) are set aside first (None: 15 if every one has
    at least 100 images, else 5). ``q`` is the share of the rest that is kept for testing at the
    head of a tail, ``lower`` the least training count.
    """

    validation: int | None = None
    q: float = 0.2
    lower: int = 1

    least_sources = 1

    def __post_init__(self) -> None:
        self.require(0 <= self.q < 1, "q", "in [0, 1)")
        self.require(self.lower >= 0, "lower", ">= 0")
        self.require(self.validation is None or self.validation >= 0, "validation", ">= 0")

    def require(self, holds: bool, parameter: str, bounds: str) -> None:
        """Raise InputError unless ``holds``."""
        if not holds:
            value = getattr(self, parameter)
            raise InputError(f"{type(self).__name__}: {parameter} is {value}; it must be {bounds}.")

    @abstractmethod
    def train_counts(self, usable: Counts) -> TrainCounts:
        """Return target -> source -> class -> training images for every domain as target.

        ``usable`` holds the images of each (domain, class) without the validation images; 0 for a
        class that the domain lacks, and then for no other. The result depends on nothing else and
        ``usable`` is left as it is.
        """

    def table(self, dataset: str, label_counts: LabelCounts) -> SplitTable:
        """Return the generated table. Raises InputError if a class has too few images."""
        where = f"{type(self).__name__} of {dataset}"
        classes = tuple(dict.fromkeys(name for row in label_counts.values() for name in row))
        label_counts = {
            domain: {name: row.get(name, 0) for name in classes}
            for domain, row in label_counts.items()
        }
        check_label_counts(label_counts, where, self.least_sources)
        validation = self.validation
        if validation is None:  # 15 if every (domain, class) that occurs has 100, else 5
            least = min(n for row in label_counts.values() for n in row.values() if n)
            validation = 15 if least >= 100 else DEFAULT_VALIDATION
        usable = usable_counts(label_counts, validation, self.lower, where)
        ordered = _order_counts(self.train_counts(usable), usable, classes, where)
        parameters = {**dataclasses.asdict(self), "validation": validation}
        return SplitTable(
            dataset=dataset,
            setting=type(self).__name__,
            domains=tuple(label_counts),
            classes=classes,
            train_counts=ordered,
            thresholds={target: _thresholds(rows) for target, rows in ordered.items()},
            validation_per_class=dict.fromkeys(ordered, validation),
            provenance=provenance(parameters),
        )


def _order_counts(
    counts: TrainCounts, usable: Counts, classes: tuple[str, ...], where: str
) -> TrainCounts:
    """Return ``counts`` in the order of domains and classes, 0 where a class is absent."""
    try:
        return {
            target: {
                source: {
                    name: counts[target][source][name] if usable[source][name] else 0
                    for name in classes
                }
                for source in usable
                if source != target
            }
            for target in usable
        }
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{where}: train_counts must return target -> source -> class -> images, of every "
            f"domain as target, all its sources and all classes ({type(error).__name__}: {error})."
        ) from error


def _thresholds(rows: Counts) -> Thresholds:
    return default_thresholds(np.array([list(row.values()) for row in rows.values()]))


def provenance(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return generator, version, parameters and, apart, the seed if there is one.

    Tuples become lists, as they are after a round trip through JSON.
    """
    parameters = {k: list(v) if isinstance(v, tuple) else v for k, v in parameters.items()}
    seed = {"seed": parameters.pop("seed")} if "seed" in parameters else {}
    return {
        "generator": "imbalance_splits",
        "version": GENERATOR_VERSION,
        "parameters": parameters,
        **seed,
    }


def check_label_counts(label_counts: LabelCounts, where: str, least_sources: int) -> None:
    """Raise InputError unless there are enough domains, and an image in each."""
    if not label_counts:
        raise InputError(f"{where}: its label counts are not known; give them, or its folder.")
    if len(label_counts) < least_sources + 1:
        raise InputError(
            f"{where}: {len(label_counts)} domains ({', '.join(label_counts)}); "
            f"it needs at least {least_sources + 1}, the target and {least_sources} others."
        )
    for domain, row in label_counts.items():
        if not any(row.values()):
            raise InputError(f"{where}: domain {domain} has no image. Leave it out.")


def usable_counts(label_counts: LabelCounts, validation: int, lower: int, where: str) -> Counts:
    """Return the counts less ``validation``; 0 stays 0.

    Raises InputError, which names the scarcest class, where no more than ``lower`` remain.
    """
    usable = {
        d: {k: n and n - validation for k, n in row.items()} for d, row in label_counts.items()
    }
    left, domain, name = min(
        (usable[d][k], d, k) for d, row in label_counts.items() for k, n in row.items() if n
    )
    if left <= lower:
        images = left + validation
        raise InputError(
            f"{where}: domain {domain}, class {name} has {images} images; {validation} for "
            f"validation leave {left}, and more than {lower} are needed.\n"
            + (
                f"Give --validation {images - lower - 1}, or leave the class out."
                if images > lower
                else f"Add images, leave the class out of {domain}, or give a smaller lower."
            )
        )
    return usable


def sources_by_total(usable: LabelCounts, target: str) -> list[str]:
    """Return the source domains, those with the fewest images first; ties by name."""
    sources = [domain for domain in usable if domain != target]
    return sorted(sources, key=lambda domain: (sum(usable[domain].values()), domain))


def descending(counts: Mapping[str, int]) -> list[str]:
    """Return the names sorted by (count, name), largest first."""
    return sorted(counts, key=lambda name: (counts[name], name), reverse=True)
