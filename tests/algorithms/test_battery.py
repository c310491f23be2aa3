"""The battery on every algorithm of the embedded testbed and of this project."""

import pytest

from imbalance_splits.discovery import OWN_CODE
from ndcl_domainbed import algorithms
from ndcl_domainbed.testbed import algorithms as testbed
from tests.testbed.algorithms import battery
from tests.testbed.algorithms.building import build

AVERAGED = """
import copy
import torch
from ndcl_domainbed.backend import ERM

class Averaged(ERM):
    '''ERM that predicts with the moving average of its weights.'''

    def __init__(self, *args):
        super().__init__(*args)
        self.averaged = copy.deepcopy(self.network).requires_grad_(False)

    def update(self, minibatches, unlabeled=None):
        found = super().update(minibatches)
        with torch.no_grad():
            for average, value in zip(self.averaged.parameters(), self.network.parameters()):
                average.lerp_(value, 0.1)
        return found

    def predict(self, x):
        return (self.network if self.training else self.averaged)(x)
"""


@pytest.mark.parametrize("check", battery.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", sorted({**testbed.classes(), **algorithms.classes()}))
def test_algorithm(name, check):
    check(name)


@pytest.mark.parametrize("check", battery.CHECKS, ids=lambda check: check.__name__)
def test_a_method_that_predicts_from_averaged_weights(check, tmp_path, monkeypatch):
    (tmp_path / "averaged.py").write_text(AVERAGED)
    monkeypatch.setenv(OWN_CODE, str(tmp_path / "averaged.py"))
    check("Averaged")


NAMES = {
    "ERM": "featurizer.layers.0.weight network.0.layers.0.weight classifier.bias network.1.bias",
    "DANN": "update_count class_embeddings.weight discriminator.input.weight",
    "SagNet": "network_c.weight network_s.weight",
    "PGrad": "network.net.1.weight",
    "BoDA": "n_samples_table train_centroids",
    "TCRI_HSIC": "network.1.0.weight network.2.weight spurious_featurizer.0.weight"
    " domain_general_featurizer.0.weight spurious_classifiers.2.weight",
    "GINIDG": "generator.mean.weight generator.log_sigma.bias generator.decoder.1.weight"
    " gdiscriminator.model.3.weight discriminator.model.6.weight",
}
"""Names in the state dicts of DomainBed and of the authors."""


@pytest.mark.parametrize("name", NAMES)
def test_a_state_dict_has_the_names_of_the_original(name):
    assert set(NAMES[name].split()) <= set(build(name).state_dict())
