"""Datasets given as a list of files."""

from __future__ import annotations

import json

import pytest
import torch

from imbalance_splits.errors import InputError
from ndcl_domainbed.testbed.datasets import get_dataset_class
from tests.image_folders import write_images

PLAIN = {"data_augmentation": False}


@pytest.fixture
def entries(tmp_path):
    """(domain, class, file) of a folder, in an order that is none."""
    root = write_images(tmp_path / "set", ["one", "two"], ["x", "y"], 3)
    found = [(p.parts[-3], p.parts[-2], str(p.relative_to(tmp_path))) for p in root.rglob("*.png")]
    return sorted(found, key=lambda entry: entry[2][::-1])


def _write(entries, path):
    if path.suffix == ".csv":
        path.write_text("\n".join(["domain,class,file", *(",".join(e) for e in entries)]))
    else:
        path.write_text(json.dumps(entries))
    return path


@pytest.mark.parametrize("name", ["files.csv", "files.json", "FILES.CSV"])
def test_a_list_is_the_same_data_set_as_the_folder(name, entries, tmp_path, monkeypatch):
    _write(entries, tmp_path / name.lower()).rename(tmp_path / name)
    expected = get_dataset_class("set", str(tmp_path))(str(tmp_path), [0], PLAIN)
    cls = get_dataset_class(name, str(tmp_path))
    assert cls.__name__ == name
    dataset = cls(str(tmp_path), [0], PLAIN)
    assert dataset.ENVIRONMENTS == expected.ENVIRONMENTS == ["one", "two"]
    assert dataset.classes == expected.classes
    assert dataset.input_shape == (3, 28, 28)
    for domain, same in zip(dataset, expected, strict=True):
        assert domain.targets == same.targets
        assert domain.samples == same.samples
        assert torch.equal(domain[4][0], same[4][0])


def test_a_class_that_a_domain_lacks_is_named(entries, tmp_path):
    kept = [entry for entry in entries if entry[:2] != ("two", "y")]
    path = _write(kept, tmp_path / "files.csv")
    with pytest.raises(InputError, match=r"files\.csv differ in their classes: two lacks y\."):
        get_dataset_class(str(path))


def test_a_list_of_one_domain_is_refused(entries, tmp_path):
    path = _write([entry for entry in entries if entry[0] == "one"], tmp_path / "files.json")
    with pytest.raises(InputError, match=r"files\.json lists only the domain one"):
        get_dataset_class(str(path))


def test_what_is_wrong_with_a_list_is_said(entries, tmp_path):
    path = _write([*entries, ("two", "x", "set/two/x/none.png")], tmp_path / "files.csv")
    with pytest.raises(InputError, match=r"files\.csv, line 14: there is no file .*none\.png"):
        get_dataset_class(str(path))
