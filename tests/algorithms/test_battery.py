"""The battery on the algorithms that this project adds."""

from __future__ import annotations

import pytest

from ndcl_domainbed import algorithms
from tests.testbed.algorithms.test_battery import CHECKS


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", algorithms.classes())
def test_algorithm(name, check):
    check(name)


def test_all_additions_are_there():
    assert set(algorithms.classes()) == {
        *("NDCL", "Focal", "ReWeight", "BSoftmax", "LDAM", "BoDA", "GINIDG", "PGrad", "TCRI_HSIC")
    }
