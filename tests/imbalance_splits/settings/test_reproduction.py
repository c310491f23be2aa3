"""The generators give the published tables, cell by cell."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from imbalance_splits.published import (
    label_counts,
    published_datasets,
    published_parameters,
    published_table,
)
from imbalance_splits.settings import build_setting

HAND_ADJUSTED = {
    "TotalHeavyTail": {},
    "Cross": {("VLCS", "V", "S", "chair"): 5, ("VLCS", "V", "S", "person"): 19},
    "Duality": {
        ("VLCS", "V", "L", "car"): 3,
        ("VLCS", "V", "L", "chair"): 13,
        ("VLCS", "V", "L", "dog"): 22,
    },
}
CELLS = {"TotalHeavyTail": 11_274, "Cross": 924, "Duality": 11_274}


def cells(table):
    return {
        (table.dataset, target, source, name): count
        for target, rows in table.train_counts.items()
        for source, row in rows.items()
        for name, count in row.items()
    }


@pytest.mark.parametrize("setting", CELLS)
def test_every_published_cell_but_those_adjusted_by_hand(setting):
    compared, different = 0, {}
    for dataset in published_datasets():
        published = published_table(dataset, setting)
        if published is None:
            continue
        maker = build_setting(setting, published_parameters(dataset, setting))
        made = cells(maker.table(dataset, label_counts(dataset)))
        assert made.keys() == cells(published).keys()
        compared += len(made)
        different |= {key: n for key, n in cells(published).items() if made[key] != n}
    assert compared == CELLS[setting]
    assert different == HAND_ADJUSTED[setting]


@pytest.mark.parametrize("setting", CELLS)
def test_generating_leaves_everything_as_it_was(setting):
    counts = label_counts("PACS")
    before = copy.deepcopy(counts)
    np.random.seed(7)
    state = np.random.get_state()[1].copy()
    maker = build_setting(setting, published_parameters("PACS", setting))
    first = maker.table("PACS", counts)
    assert maker.table("PACS", counts) == first
    assert counts == before
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_a_generated_table_has_the_published_validation_size():
    for dataset, size in {"PACS": 15, "VLCS": 5, "OfficeHome": 5, "DomainNet": 5}.items():
        published = published_table(dataset, "Duality")
        assert set(published.validation_per_class.values()) == {size}
        assert published_parameters(dataset, "Duality")["validation"] == size
