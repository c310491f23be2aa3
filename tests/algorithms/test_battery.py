"""The battery on the algorithms that this project adds."""

from __future__ import annotations

import pytest

from ndcl_domainbed import algorithms
from ndcl_domainbed.hparams import VECTORS
from tests.testbed.algorithms.test_battery import CHECKS, CHECKS_ON_VECTORS


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", algorithms.classes())
def test_algorithm(name, check):
    check(name)


@pytest.mark.parametrize("check", CHECKS_ON_VECTORS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", algorithms.classes())
def test_algorithm_on_frozen_features(name, check):
    check(name, VECTORS)


def test_all_additions_are_there():
    assert set(algorithms.classes()) == {
        *("NDCL", "Focal", "ReWeight", "BSoftmax", "LDAM", "BoDA", "GINIDG", "PGrad", "TCRI_HSIC")
    }
