"""The battery on the algorithms of the embedded testbed."""

from __future__ import annotations

import pytest

from ndcl_domainbed.hparams import VECTORS
from ndcl_domainbed.testbed import algorithms
from tests.testbed.algorithms import battery

CHECKS = [
    battery.check_defaults,
    battery.check_random_hparams,
    battery.check_hard_minibatches,
    battery.check_state_dict,
    battery.check_resume,
    battery.check_hparams_are_read,
]
CHECKS_ON_VECTORS = [check for check in CHECKS if check is not battery.check_state_dict]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", algorithms.classes())
def test_algorithm(name, check):
    check(name)


@pytest.mark.parametrize("check", CHECKS_ON_VECTORS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", algorithms.classes())
def test_algorithm_on_frozen_features(name, check):
    check(name, VECTORS)


def test_all_of_the_family_are_there():
    assert set(algorithms.classes()) == {
        *("ERM", "IRM", "GroupDRO", "Mixup", "MLDG", "CORAL", "MMD", "DANN", "CDANN", "SagNet"),
        *("VREx", "RSC", "Fishr", "RDM", "SelfReg", "EQRM", "Fish", "SD", "MTL", "ARM"),
    }
