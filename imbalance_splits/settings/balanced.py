"""Balanced: every class and every domain the same."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from imbalance_splits.errors import InputError
from imbalance_splits.settings.base import Counts, GeneratedSetting, provenance
from imbalance_splits.table import LabelCounts, SplitTable, Thresholds, TrainCounts


@dataclass(frozen=True, kw_only=True)
class Balanced(GeneratedSetting):
    """The same count for every source and class: what the scarcest pair of the sources allows.

    ``like`` names a setting, maybe with parameters (``TotalHeavyTail``, ``Cross:middle=0.5``), of
    which this is then the control: for every target the sources have together as many training
    images as in that setting's table, and the same number of validation images. They are spread
    evenly over the classes, and those of a class evenly over the domains. Where a class or domain
    has fewer images left after validation than its even share, it gives all of them, and the
    others share the rest evenly; a remainder goes to those with most images, one each. A class
    that has too few images is Few, any other Medium. ``q`` and ``lower`` have no effect then.

    >>> from imbalance_splits import table_for
    >>> counts = {name: {"cat": 50, "dog": 20} for name in ("art", "photo", "sketch")}
    >>> table_for("own", "Exponential:factor=9", counts).counts("sketch").tolist()
    [[36, 4], [36, 4]]
    >>> table_for("own", "Balanced:like=Exponential:factor=9", counts).counts("sketch").tolist()
    [[25, 15], [25, 15]]
    """

    like: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.like is None or isinstance(self.like, str), "like", "a setting's name")

    def train_counts(self, usable: Counts) -> TrainCounts:
        """Return the training counts of every target, without ``like``."""
        table: TrainCounts = {}
        for target in usable:
            sources = [domain for domain in usable if domain != target]
            present = [images for d in sources for images in usable[d].values() if images]
            count = max(int(min(present) * (1 - self.q)), self.lower)
            table[target] = {domain: dict.fromkeys(usable[domain], count) for domain in sources}
        return table

    def table(self, dataset: str, label_counts: LabelCounts) -> SplitTable:
        """Return the table. Raises InputError if there are fewer images than ``like`` trains on."""
        if self.like is None:
            return super().table(dataset, label_counts)
        model = _table_of(self.like, dataset, label_counts, self.validation)
        counts = {t: _spread_like(model, t, label_counts) for t in model.train_counts}
        return dataclasses.replace(
            model,
            setting=type(self).__name__,
            train_counts=counts,
            thresholds={target: _thresholds(rows) for target, rows in counts.items()},
            provenance=provenance({k: v for k, v in vars(self).items() if v is not None}),
        )


def _table_of(
    like: str, dataset: str, label_counts: LabelCounts, validation: int | None
) -> SplitTable:
    from imbalance_splits.make_table import generate_table, table_for  # which knows all settings

    parameters = {} if validation is None else {"validation": validation}
    table = table_for(dataset, like, label_counts, parameters)
    if set(table.domains) != set(label_counts):  # a dataset of that name which is another one
        table = generate_table(dataset, like, label_counts, parameters)
    return table


def _thresholds(rows: Counts) -> Thresholds:
    """Return thresholds by which a class is Few if it has too few images, else Medium."""
    names = next(iter(rows.values()))
    most = max(sum(row[name] for row in rows.values()) for name in names) / len(rows)
    return Thresholds(many=most, few=max(0.0, most - 1))


def _spread_like(model: SplitTable, target: str, label_counts: LabelCounts) -> Counts:
    """Return source -> class -> count: the images of ``model``, spread evenly."""
    validation, sources = model.validation_per_class[target], model.sources(target)
    room = {
        name: {d: max(0, label_counts[d].get(name, 0) - validation) for d in sources}
        for name in model.classes
    }
    total, images = int(model.counts(target).sum()), sum(sum(row.values()) for row in room.values())
    if images < total:
        raise InputError(
            f"Balanced of {model.dataset}, target {target}: {model.setting} trains on {total} "
            f"images, but after validation there are {images}.\n"
            "Use a setting or table that this dataset has enough images for."
        )
    by_class = spread(total, {name: sum(row.values()) for name, row in room.items()})
    rows = {name: spread(by_class[name], room[name]) for name in room}
    return {domain: {name: rows[name][domain] for name in rows} for domain in sources}


def spread(total: int, room: dict[str, int]) -> dict[str, int]:
    """Return ``total`` divided evenly; a name with less ``room`` than its share gets all of that.

    ``total`` is at most the sum of ``room``.

    >>> spread(10, {"a": 9, "b": 2, "c": 9})
    {'a': 4, 'b': 2, 'c': 4}
    """
    shares = dict.fromkeys(room, 0)
    order = sorted(room, key=lambda name: (room[name], name))
    for left, name in zip(range(len(order), 0, -1), order, strict=True):
        shares[name] = min(room[name], total // left)
        total -= shares[name]
    return shares
