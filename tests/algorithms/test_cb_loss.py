import numpy as np
import pytest
import torch

from ndcl_domainbed.algorithms.cb_loss import effective_numbers
from tests.testbed.algorithms.building import (
    assert_update_follows,
    build,
    build_double,
    cross_entropy,
    minibatches_of,
)

COUNTS = [[8, 4, 2, 1], [1, 1, 0, 2], [3, 0, 0, 0]]


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.9999])
def test_the_effective_number_is_a_geometric_sum(beta):
    counts = np.array([1.0, 2, 7, 100])
    expected = [sum(beta**i for i in range(int(n))) for n in counts]
    np.testing.assert_allclose(effective_numbers(counts, beta), expected, rtol=1e-9)


def test_beta_leads_from_equal_weights_to_inverse_frequency():
    equal = build("CBLoss", counts=COUNTS, beta=0.0).class_weights
    torch.testing.assert_close(equal[0], torch.ones(4))
    torch.testing.assert_close(equal[1], torch.tensor([1.0, 1, 0, 1]) * 4 / 3)
    inverse = build("CBLoss", counts=COUNTS, beta=1 - 1e-7).class_weights
    expected = build("ReWeight", counts=COUNTS).class_weights
    torch.testing.assert_close(inverse, expected, rtol=1e-4, atol=0)


def test_update_minimizes_the_class_balanced_risks():
    algorithm = build_double("CBLoss", counts=COUNTS, beta=0.9)
    minibatches = minibatches_of([[0, 1, 2, 3, 0], [0, 3, 3], [0, 0]], dtype=torch.float64)

    def objective(twin):
        total = 0.0
        for (x, y), counts in zip(minibatches, COUNTS, strict=True):
            alphas = [(1 - 0.9) / (1 - 0.9**n) if n else 0.0 for n in counts]
            alphas = [4 * alpha / sum(alphas) for alpha in alphas]
            logits = twin.network(x)
            terms = [
                alphas[k] * cross_entropy(f[None], k[None]) for f, k in zip(logits, y, strict=True)
            ]
            total = total + sum(terms) / len(terms)
        return total / 3

    # The weights are kept in single precision.
    result, loss = assert_update_follows(algorithm, minibatches, objective, rtol=1e-4, atol=1e-6)
    assert result["loss"] == pytest.approx(loss)
