"""The backend without a checkout: datasets that it lacks, and what DomainBed's format needs."""

import numpy as np
import pytest
import torch

from imbalance_splits.errors import InputError
from ndcl_domainbed import backend, registry
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
    with pytest.raises(InputError, match=r"Choose from: .*PACS"):
        backend.get_dataset_class(name)


def test_what_is_wrong_with_a_folder_is_not_taken_for_its_name(tmp_path):
    (tmp_path / "PACS_Cross").mkdir()
    with pytest.raises(InputError, match="PACS_Cross: no folders in it"):
        backend.get_dataset_class("PACS_Cross", str(tmp_path))


@pytest.mark.parametrize("name", ["LDAM", "BoDA", "GINIDG"])
def test_hparams_that_a_script_of_domainbed_saves_build_the_algorithm_again(name, tmp_path):
    hparams = registry.default_hparams(name, "Debug28")
    hparams.label_counts, hparams.n_steps = np.array([[5, 2], [1, 7]]), 10
    hparams.train_sets = [None, None]
    make = registry.get_algorithm_class(name)
    trained = make((3, 28, 28), 2, 2, hparams)
    torch.save({"model_hparams": hparams, "model_dict": trained.state_dict()}, tmp_path / "model")
    saved = torch.load(tmp_path / "model", weights_only=True)
    assert saved["model_hparams"] == hparams
    loaded = make((3, 28, 28), 2, 2, saved["model_hparams"])
    loaded.load_state_dict(saved["model_dict"])
    images = torch.rand(3, 3, 28, 28)
    assert torch.equal(loaded.eval().predict(images), trained.eval().predict(images))
