"""Empirical risk minimization, and algorithms that change one term of it."""

import numpy as np
import pytest
import torch

from tests.testbed.algorithms.building import (
    assert_same_parameters,
    assert_update_follows,
    build,
    build_double,
    cross_entropy,
    random_minibatches,
)


def test_update_minimizes_the_mean_over_samples():
    algorithm = build_double("ERM")
    minibatches = random_minibatches((8, 3, 5), dtype=torch.float64)

    def objective(twin):
        x = torch.cat([x for x, _ in minibatches])
        return cross_entropy(twin.network(x), torch.cat([y for _, y in minibatches]))

    result, loss = assert_update_follows(algorithm, minibatches, objective)
    assert result["loss"] == pytest.approx(loss)


def test_weight_decay_and_learning_rate_reach_the_optimizer():
    algorithm = build("ERM", lr=0.123, weight_decay=0.45)
    (group,) = algorithm.optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.123, 0.45)


def test_spectral_decoupling_minimizes_risk_plus_squared_logits():
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


def test_mixup_minimizes_the_mixed_risks_of_a_cycle():
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


@pytest.mark.parametrize("name", ["Mixup", "GroupDRO", "CORAL", "MMD", "VREx", "IRM", "EQRM"])
def test_one_domain_has_nothing_to_align(name):
    off = {"irm_lambda": 0.0, "irm_penalty_anneal_iters": 0} if name == "IRM" else {}
    algorithm, erm = build_double(name, domains=1, **off), build_double("ERM", domains=1)
    minibatches = random_minibatches([8], dtype=torch.float64)
    algorithm.update(minibatches)
    erm.update(minibatches)
    assert_same_parameters(algorithm, erm, atol=1e-9)
