from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from imbalance_splits.errors import InputError
from imbalance_splits.labels import (
    class_names,
    environment_names,
    label_counts_of,
    labels_of,
)
from tests.imbalance_splits.stand_ins import Folders, write_images


def test_counts_of_folders_decode_no_image(tmp_path):
    write_images(tmp_path, sizes={"cat": 3, "dog": 2})
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(b"not an image")
    counts = label_counts_of(Folders(tmp_path, [], {}))
    assert counts == {name: {"cat": 3, "dog": 2} for name in "ABC"}


def test_targets_come_before_tensors():
    domain = TensorDataset(torch.zeros(3), torch.tensor([0, 0, 0]))
    domain.targets = [2, 1, 0]
    assert labels_of(domain).tolist() == [2, 1, 0]
    assert labels_of(domain).dtype == np.int64


def test_labels_that_would_need_decoding():
    with pytest.raises(InputError, match=r"give it a \.targets list"):
        labels_of(TensorDataset(torch.zeros(3)))
    with pytest.raises(InputError, match=r"SimpleNamespace: its labels cannot be read"):
        labels_of(SimpleNamespace())
    with pytest.raises(InputError, match=r"\(targets\) must be the numbers .*'cat'"):
        labels_of(SimpleNamespace(targets=["cat", "dog"]))


def test_a_folder_too_many_is_named(tmp_path):
    write_images(tmp_path, domains=("art", "book", "clay", "__MACOSX"))
    with pytest.raises(InputError, match="the 3 domains A, B, C, found 4: __MACOSX, art, book"):
        environment_names(Folders(tmp_path, [], {}))


def test_domains_with_different_classes_are_named(tmp_path):
    write_images(tmp_path)
    (tmp_path / "clay" / "dog").rename(tmp_path / "clay" / "horse")
    with pytest.raises(
        InputError, match="domains art and clay differ in their classes: dog, horse"
    ):
        class_names(Folders(tmp_path, [], {}))


def test_domains_with_their_classes_in_another_order_are_named(tmp_path):
    write_images(tmp_path)
    dataset = Folders(tmp_path, [], {})
    dataset[1].classes.reverse()
    with pytest.raises(InputError, match=r"art and book differ .*: their order"):
        class_names(dataset)


@pytest.mark.parametrize("targets", [np.eye(2), [0.0, 0.9]])
def test_labels_that_are_not_one_number_an_image(targets):
    with pytest.raises(InputError, match="must be the numbers of classes"):
        labels_of(SimpleNamespace(targets=targets))
    assert labels_of(SimpleNamespace(targets=[0.0, 1.0])).tolist() == [0, 1]
