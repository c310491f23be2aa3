"""The real images of three datasets, where ``NDCL_PHOTOGRAPHS`` names the folder that has them."""

import os
from pathlib import Path

import pytest

from imbalance_splits.datasets import ImbalancedDataset
from imbalance_splits.image_tree import scan_images
from imbalance_splits.published import DOMAINS, label_counts, published_settings
from imbalance_splits.published import published_table as shipped
from imbalance_splits.verify import verify_folder
from ndcl_domainbed.testbed.datasets import get_dataset_class

PLACE = os.environ.get("NDCL_PHOTOGRAPHS", "")
DATASETS = ["PACS", "Office31", "OfficeCaltech10"]

pytestmark = pytest.mark.skipif(
    not PLACE, reason="NDCL_PHOTOGRAPHS names no folder with PACS, Office31 and OfficeCaltech10"
)


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_images_are_as_many_as_the_shipped_counts_say(dataset):
    found = scan_images(Path(PLACE) / dataset).label_counts()
    expected = label_counts(dataset)
    assert {d: found[folder] for d, folder in DOMAINS[dataset].items()} == expected


@pytest.mark.parametrize("dataset", DATASETS)
def test_nothing_is_wrong_with_the_images(dataset):
    report = verify_folder(Path(PLACE) / dataset, dataset)
    assert report.problems == []
    assert report.images == sum(sum(row.values()) for row in label_counts(dataset).values())


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_shipped_table_can_be_trained_on(dataset):
    cls = get_dataset_class(dataset)
    hparams = {"data_augmentation": False}
    for setting in published_settings(dataset):
        for env, name in enumerate(DOMAINS[dataset]):
            table = shipped(dataset, setting)
            split = ImbalancedDataset(cls, PLACE, [env], hparams, table, trial_seed=0)
            counts = table.counts(name)
            assert split.label_counts.tolist() == counts[:, :].tolist()
            assert split.notes[0].startswith(f"With target {name}, {counts.sum():,} of")
            v = table.validation_per_class[name]
            sizes = {len(x) for (_, part), x in split.evaluation_sets.items() if part == "val"}
            assert sizes == {v * len(table.classes)}
