"""The battery on every algorithm of the embedded testbed and of this project."""

import pytest

from imbalance_splits.discovery import OWN_CODE
from ndcl_domainbed import algorithms
from ndcl_domainbed.testbed import algorithms as testbed
from tests.testbed.algorithms import battery

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
