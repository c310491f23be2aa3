import numpy as np
import pytest
import torch

from ndcl_domainbed.algorithms.ldam import class_margins
from tests.testbed.algorithms.building import (
    assert_update_follows,
    build_double,
    cross_entropy,
    minibatches_of,
)

COUNTS = [[16, 81, 1, 256], [1, 1, 0, 16], [0, 0, 0, 0]]


def test_margins_by_hand():
    margins = class_margins(np.array(COUNTS, dtype=float), largest=0.6)
    np.testing.assert_allclose(margins[0], [0.3, 0.2, 0.6, 0.15])
    np.testing.assert_allclose(margins[1], [0.6, 0.6, 0.0, 0.3])
    np.testing.assert_allclose(margins[2], 0)


def test_update_minimizes_the_scaled_risks_with_margins():
    algorithm = build_double("LDAM", counts=COUNTS, max_m=0.6, scale=10.0)
    minibatches = minibatches_of([[0, 1, 2, 3, 0], [0, 2, 3], [0, 1]], dtype=torch.float64)
    margins = class_margins(np.array(COUNTS, dtype=float), 0.6)

    def objective(twin):
        total = 0.0
        for (x, y), row in zip(minibatches, margins, strict=True):
            terms = []
            for f, label in zip(twin.network(x), y, strict=True):
                handicap = torch.zeros(4, dtype=torch.float64)
                handicap[label] = row[label]
                terms.append(cross_entropy(10 * (f - handicap)[None], label[None]))
            total = total + sum(terms) / len(terms)
        return total / 3

    # The margins are kept in single precision.
    result, loss = assert_update_follows(algorithm, minibatches, objective, rtol=1e-4, atol=1e-6)
    assert result["loss"] == pytest.approx(loss)
