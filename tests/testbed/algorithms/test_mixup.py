import numpy as np
import pytest
import torch

from tests.testbed.algorithms.building import (
    assert_update_follows,
    build_double,
    cross_entropy,
    random_minibatches,
)


def test_update_minimizes_the_mixed_risks_of_a_cycle():
    algorithm = build_double("Mixup", mixup_alpha=0.6)
    minibatches = random_minibatches((8, 3, 5), dtype=torch.float64)
    torch.manual_seed(3), np.random.seed(3)
    order, shares = torch.randperm(3).tolist(), np.random.beta(0.6, 0.6, size=3)

    def objective(twin):
        total = 0.0
        for r in range(3):
            (x_i, y_i), (x_j, y_j) = minibatches[order[r]], minibatches[order[(r + 1) % 3]]
            n, share = min(len(y_i), len(y_j)), shares[r]
            logits = twin.network(share * x_i[:n] + (1 - share) * x_j[:n])
            total = total + share * cross_entropy(logits, y_i[:n])
            total = total + (1 - share) * cross_entropy(logits, y_j[:n])
        return total / 3

    torch.manual_seed(3), np.random.seed(3)
    result, loss = assert_update_follows(algorithm, minibatches, objective)
    assert result["loss"] == pytest.approx(loss)
