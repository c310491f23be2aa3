"""Split tables: how many images of each (target, source domain, class) are trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from imbalance_splits.errors import InputError, join_names
from imbalance_splits.whole_files import write_whole

ClassCounts = Mapping[str, int]
LabelCounts = Mapping[str, ClassCounts]  # domain -> class -> number of images
TrainCounts = dict[str, dict[str, dict[str, int]]]
"""target -> source -> class -> number of training images."""

DEFAULT_VALIDATION = 5
_TOO_MANY = 2**31  # no dataset has as many images, and no array of counts overflows below
_WHOLE = "give a whole number in [0, 2**31)"
_FIELDS = ("dataset", "setting", "thresholds", "validation_per_class", "train_counts")


@dataclass(frozen=True)
class Thresholds:
    """A class is Many above ``many`` mean training images, Few below ``few`` (0 <= few <= many)."""

    many: float
    few: float


@dataclass(frozen=True)
class SplitTable:
    """The training counts of one dataset under one setting.

    ``domains`` and ``classes`` are in the order of the dataset; ``train_counts[target][source]``
    maps each class to its training images; ``thresholds`` and ``validation_per_class`` hold one
    entry for each target; ``provenance`` says where the numbers come from. A table is checked
    when it is made and raises InputError if it contradicts itself.
    """

    dataset: str
    setting: str
    domains: tuple[str, ...]
    classes: tuple[str, ...]
    train_counts: TrainCounts
    thresholds: dict[str, Thresholds]
    validation_per_class: dict[str, int]
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f"split table {self.dataset} {self.setting}"
        if not self.train_counts:
            raise InputError(f"{where}: it has no target domain.")
        for target, rows in self.train_counts.items():
            self._check_target(f"{where}, target {target}", target, rows)

    def _check_target(self, where: str, target: str, rows: dict[str, dict[str, int]]) -> None:
        """Check one target's rows, thresholds and validation size."""
        if target in rows:
            raise InputError(f"{where}: the target is among its own sources; leave it out.")
        if not rows:
            raise InputError(f"{where}: it has no source domain.")
        unknown = sorted({target, *rows} - set(self.domains))
        if unknown:
            raise InputError(f"{where}: unknown domains {', '.join(unknown)}.")
        for source, row in rows.items():
            _check_row(f"{where}, source {source}", row, self.classes)
        validation = self.validation_per_class.get(target)
        if not _is_count(validation):
            raise InputError(f"{where}: validation_per_class is {validation!r}; {_WHOLE}.")
        limits = self.thresholds.get(target)
        if limits is None or not (_is_number(limits.many) and _is_number(limits.few)):
            raise InputError(f"{where}: thresholds need two numbers in [0, 2**31), many and few.")
        if limits.many < limits.few:
            raise InputError(
                f"{where}: Many above {limits.many:g} and Few below {limits.few:g} overlap; "
                "give thresholds with many >= few."
            )

    def sources(self, target: str) -> list[str]:
        """Return the source domains of ``target``, in the order of ``domains``."""
        rows = self.rows(target)
        return [domain for domain in self.domains if domain in rows]

    def rows(self, target: str) -> dict[str, dict[str, int]]:
        """Return source -> class -> count for ``target``; InputError if there is no such one."""
        if target not in self.train_counts:
            raise InputError(
                f"split table {self.dataset} {self.setting} has no target {target!r}. "
                f"Its targets: {', '.join(self.train_counts)}"
            )
        return self.train_counts[target]

    def counts(self, target: str, sources: Sequence[str] | None = None) -> np.ndarray:
        """Return the counts as int64 (sources, classes), in the order of ``sources``."""
        rows = self.rows(target)
        names = self.sources(target) if sources is None else sources
        return np.array([[rows[name][k] for k in self.classes] for name in names], dtype=np.int64)

    def to_json(self) -> dict[str, Any]:
        """Return the table in the form in which the authors' tables are published."""
        return {
            "dataset": self.dataset,
            "setting": self.setting,
            **self.provenance,
            "thresholds": {target: asdict(one) for target, one in self.thresholds.items()},
            "validation_per_class": dict(self.validation_per_class),
            "train_counts": {
                target: {source: dict(row) for source, row in rows.items()}
                for target, rows in self.train_counts.items()
            },
        }

    def write(self, path: Path | str) -> None:
        """Write the table as JSON; the file appears whole or not at all."""
        write_whole(Path(path), json.dumps(self.to_json(), separators=(",", ":")) + "\n")

    @classmethod
    def from_json(cls, data: Any, where: str, domains: Sequence[str] = ()) -> SplitTable:
        """Return the table that ``data``, in the published form, describes.

        Only ``train_counts`` is required. Absent thresholds are those of
        :func:`default_thresholds`, an absent validation size is 5. ``domains`` gives an order
        of the domains; without it they keep the order of ``data``. Raises InputError, which
        begins with ``where``, if the form is not that of a table.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("train_counts"), Mapping):
            raise InputError(f"{where}: no 'train_counts' (target -> source -> class -> count).")
        counts = _check_levels(data["train_counts"], where)
        first = next((row for rows in counts.values() for row in rows.values()), {})
        classes = tuple(first)
        for target, rows in counts.items():
            for source, row in rows.items():
                _check_row(f"{where}, target {target}, source {source}", row, classes)
        counts = {
            target: {source: {name: row[name] for name in classes} for source, row in rows.items()}
            for target, rows in counts.items()
        }
        return cls(
            dataset=str(data.get("dataset", "")),
            setting=str(data.get("setting", Path(where).stem)),
            domains=tuple(dict.fromkeys([*domains, *counts, *chain(*counts.values())])),
            classes=classes,
            train_counts=counts,
            thresholds=_thresholds(data.get("thresholds"), counts, where),
            validation_per_class=_validation(data.get("validation_per_class"), counts, where),
            provenance={key: value for key, value in data.items() if key not in _FIELDS},
        )


def default_thresholds(counts: np.ndarray) -> Thresholds:
    """Return thresholds that put about a third of the classes each in Many, Medium and Few.

    ``counts`` is (sources, classes). With the classes' means over the sources sorted downward,
    m[0] >= m[1] >= …, and g = max(1, round(K / 3)): ``many`` = m[g] and ``few`` = m[K - 1 - g],
    both kept within 0..K-1. Equal means fall on the same side, so a group may be smaller than g.
    Ties leave no group empty where the means differ: with at least three means above 0, both
    thresholds are kept between the second largest and the second smallest of them. Two classes,
    or two such means, have no third between them: both thresholds are then halfway, and Medium
    is empty. If all means are the same, every class is Medium.
    """
    means = np.sort(np.asarray(counts).mean(axis=0))[::-1]
    levels = np.unique(means[means > 0])
    if len(means) == 2 or len(levels) == 2:
        middle = float(means.mean() if len(means) == 2 else levels.mean())
        return Thresholds(many=middle, few=middle)
    size = max(1, round(len(means) / 3))
    last = len(means) - 1
    cuts = means[[min(size, last), max(last - size, 0)]]
    if len(levels) > 2:
        cuts = np.clip(cuts, levels[1], levels[-2])
    return Thresholds(many=float(cuts[0]), few=float(cuts[1]))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _TOO_MANY


def _is_number(value: object) -> bool:
    return _is_count(value) or (isinstance(value, float) and 0 <= value < _TOO_MANY)


def _check_row(where: str, row: ClassCounts, classes: Sequence[str]) -> None:
    """Raise InputError unless ``row`` gives every one of ``classes`` a count."""
    missing = [name for name in classes if name not in row]
    extra = [name for name in row if name not in classes]
    if not classes:
        raise InputError(f"{where}: it has no class.")
    if missing or extra:
        raise InputError(
            f"{where}: the classes differ from those of the other domains. "
            f"Missing: {join_names(missing)}; extra: {join_names(extra)}."
        )
    for name, count in row.items():
        if not _is_count(count):
            raise InputError(f"{where}, class {name}: count {count!r}; {_WHOLE}.")


def _check_levels(data: Mapping[str, Any], where: str) -> TrainCounts:
    """Return ``data`` as plain dicts of three levels."""
    for target, rows in data.items():
        if not isinstance(rows, Mapping):
            raise InputError(f"{where}, target {target}: expected source -> class -> count.")
        for source, row in rows.items():
            if not isinstance(row, Mapping):
                raise InputError(
                    f"{where}, target {target}, source {source}: expected class -> count."
                )
    return {t: {s: dict(row) for s, row in rows.items()} for t, rows in data.items()}


def _thresholds(data: Any, counts: TrainCounts, where: str) -> dict[str, Thresholds]:
    """Return the thresholds of every target, as given or by default."""
    if data is None:
        return {
            target: default_thresholds(np.array([list(row.values()) for row in rows.values()]))
            for target, rows in counts.items()
            if rows
        }
    try:
        return {target: Thresholds(data[target]["many"], data[target]["few"]) for target in counts}
    except (KeyError, TypeError):
        raise InputError(f"{where}: 'thresholds' need many and few for every target.") from None


def _validation(data: Any, counts: TrainCounts, where: str) -> dict[str, int]:
    """Return the validation size of every target, as given or by default."""
    if data is None:
        return dict.fromkeys(counts, DEFAULT_VALIDATION)
    try:
        return {target: data[target] for target in counts}
    except (KeyError, TypeError):
        raise InputError(f"{where}: 'validation_per_class' needs every target.") from None
