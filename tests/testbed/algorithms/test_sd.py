import pytest
import torch

from tests.testbed.algorithms.building import (
    assert_update_follows,
    build_double,
    cross_entropy,
    random_minibatches,
)


def test_update_minimizes_risk_plus_squared_logits():
    algorithm = build_double("SD", sd_reg=0.3)
    minibatches = random_minibatches((8, 3, 5), dtype=torch.float64)
    parts = {}

    def objective(twin):
        logits = twin.network(torch.cat([x for x, _ in minibatches]))
        parts["loss"] = cross_entropy(logits, torch.cat([y for _, y in minibatches]))
        parts["penalty"] = (logits**2).sum() / (16 * 4)
        return parts["loss"] + 0.3 * parts["penalty"]

    result, _ = assert_update_follows(algorithm, minibatches, objective, ("loss", "penalty"))
    assert result == pytest.approx({key: value.item() for key, value in parts.items()})
