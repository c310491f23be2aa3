"""The generators give the published tables, cell by cell."""

import copy

import numpy as np
import pytest

from imbalance_splits.make_table import table_for
from imbalance_splits.published import (
    TABLES,
    authors_datasets,
    label_counts,
    published_datasets,
    published_parameters,
    published_settings,
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
    for dataset in authors_datasets():
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


MADE_HERE = [
    (dataset, setting)
    for dataset in published_datasets()
    if dataset not in authors_datasets()
    for setting in published_settings(dataset)
]


@pytest.mark.parametrize(("dataset", "setting"), MADE_HERE)
def test_tables_made_here_are_made_again_byte_for_byte(dataset, setting, tmp_path):
    made = table_for(dataset, setting, parameters=published_parameters(dataset, setting))
    made.write(tmp_path / "t.json")
    shipped = TABLES / f"{dataset}-{setting}.json"
    assert (tmp_path / "t.json").read_bytes() == shipped.read_bytes()


@pytest.mark.parametrize(("dataset", "setting"), MADE_HERE)
def test_the_parameters_are_those_of_the_table_and_follow_the_stated_rule(dataset, setting):
    parameters = published_parameters(dataset, setting)
    stated = published_table(dataset, setting).provenance["parameters"]
    counts = label_counts(dataset)
    rarest = min(images for row in counts.values() for images in row.values())
    classes = len(counts["A"])
    assert stated["validation"] == max(1, round(15 / 80 * rarest))
    assert stated["c"] == 3
    if setting == "Cross":
        assert stated["middle"] == 0.3
    if setting == "Duality":
        assert stated["middle_range"] == [classes, round(70 / 65 * classes)]
        parameters["middle_range"] = list(parameters["middle_range"])
    assert {name: stated[name] for name in parameters} == parameters
