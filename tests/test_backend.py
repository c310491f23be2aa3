"""What the embedded backend says of datasets that it has not got under a name."""

from __future__ import annotations

import pytest

from imbalance_splits.errors import InputError
from ndcl_domainbed import backend
from ndcl_domainbed.results.names import ENVIRONMENTS


@pytest.mark.parametrize("name", sorted(ENVIRONMENTS.keys() - set(backend.dataset_names())))
def test_a_data_set_of_domainbed_alone_asks_for_a_checkout(name):
    with pytest.raises(InputError, match=f"unknown dataset '{name}'.*\n.*DOMAINBED_HOME"):
        backend.get_dataset_class(name)


@pytest.mark.parametrize("name", ["PACS_TotalHeavyTail", "DigitsDG_Cross", "RotatedMNIST_Duality"])
def test_a_name_with_a_setting_is_told_apart(name):
    dataset, setting = name.split("_")
    with pytest.raises(InputError, match=f"--dataset {dataset} --imbalance {setting} "):
        backend.get_dataset_class(name)


@pytest.mark.parametrize("name", ["PACSS", "PACS_heavy", "my_Cross", ""])
def test_any_other_name_gets_the_names_there_are(name):
    with pytest.raises(InputError, match=r"There are: .*PACS"):
        backend.get_dataset_class(name)


def test_what_is_wrong_with_a_folder_is_not_taken_for_its_name(tmp_path):
    (tmp_path / "PACS_Cross").mkdir()
    with pytest.raises(InputError, match="sub-folder"):
        backend.get_dataset_class("PACS_Cross", str(tmp_path))
