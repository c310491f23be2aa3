import math

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from ndcl_domainbed.testbed.algorithms.robust import kernel_quantile
from tests.testbed.algorithms.building import (
    assert_update_follows,
    build_double,
    cross_entropy,
    random_minibatches,
)

MINIBATCHES = random_minibatches((8, 5, 6), dtype=torch.float64)


def risks_of(twin):
    return [cross_entropy(twin.network(x), y) for x, y in MINIBATCHES]


def test_groupdro_weighs_by_the_weights_it_has_just_moved():
    algorithm = build_double("GroupDRO", groupdro_eta=0.3)
    algorithm.q.copy_(torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64))
    moved = []

    def objective(twin):
        risks = risks_of(twin)
        q = [w * math.exp(0.3 * r.item()) for w, r in zip((0.5, 0.2, 0.3), risks, strict=True)]
        moved.extend(w / sum(q) for w in q)
        return sum(w * r for w, r in zip(moved, risks, strict=True))

    result, loss = assert_update_follows(algorithm, MINIBATCHES, objective)
    assert result["loss"] == pytest.approx(loss)
    assert algorithm.q.tolist() == pytest.approx(moved, rel=1e-6)


def test_groupdro_survives_an_enormous_risk():
    algorithm = build_double("GroupDRO", groupdro_eta=0.1)
    with torch.no_grad():
        algorithm.classifier.bias.copy_(torch.tensor([0.0, -1e5, -1e5, -1e5]))
    algorithm.update(MINIBATCHES)
    assert bool(torch.isfinite(algorithm.q).all())
    assert algorithm.q.sum().item() == pytest.approx(1)


def scipy_quantile(risks, level):
    width = 1.06 * np.std(risks, ddof=1) * len(risks) ** -0.2
    return optimize.brentq(
        lambda q: stats.norm.cdf((q - np.array(risks)) / width).mean() - level, -50, 50, xtol=1e-12
    )


@pytest.mark.parametrize("level", [0.5, 0.75, 0.9, 0.99])
def test_kernel_quantile_is_that_of_the_density(level):
    risks = [0.4, 1.1, 0.9, 2.0]
    found = kernel_quantile(torch.tensor(risks, dtype=torch.float64), level)
    assert found.item() == pytest.approx(scipy_quantile(risks, level), abs=1e-9)


def test_kernel_quantile_has_the_gradient_of_its_ends():
    risks = torch.tensor([0.4, 1.1, 0.9, 2.0], dtype=torch.float64, requires_grad=True)
    found = kernel_quantile(risks, 0.9)
    (gradient,) = torch.autograd.grad(found, risks)

    width = 1.06 * risks.std() * 4**-0.2
    low, high = risks[0] + width * stats.norm.ppf(0.9), risks[3] + width * stats.norm.ppf(0.9)
    share = ((found - low) / (high - low)).item()
    (expected,) = torch.autograd.grad(low + share * (high - low), risks)
    torch.testing.assert_close(gradient, expected)


def test_kernel_quantile_of_equal_risks():
    risks = torch.full((3,), 0.7, dtype=torch.float64, requires_grad=True)
    value = kernel_quantile(risks, 0.9)
    value.backward()
    assert value.item() == pytest.approx(0.7)
    assert bool(torch.isfinite(risks.grad).all())


def test_eqrm_minimizes_the_mean_then_the_quantile():
    algorithm = build_double("EQRM", eqrm_burnin_iters=1, eqrm_quantile=0.8, eqrm_lr=1e-4)
    result, loss = assert_update_follows(
        algorithm, MINIBATCHES, lambda twin: sum(risks_of(twin)) / 3
    )
    assert result["loss"] == pytest.approx(loss)
    risks = [risk.item() for risk in risks_of(algorithm)]
    algorithm.hparams["lr"] = 1e-4  # the rate of the new optimizer
    result, _ = assert_update_follows(
        algorithm, MINIBATCHES, lambda twin: kernel_quantile(torch.stack(risks_of(twin)), 0.8)
    )
    assert result["loss"] == pytest.approx(scipy_quantile(risks, 0.8))
    assert algorithm.optimizer.param_groups[0]["lr"] == 1e-4


def test_eqrm_rounds_a_fractional_burn_in_up():
    algorithm = build_double("EQRM", eqrm_burnin_iters=1.5)
    rates = []
    for _ in range(4):
        algorithm.update(MINIBATCHES)
        rates.append(algorithm.optimizer.param_groups[0]["lr"])
    assert rates == [1e-3, 1e-3, 1e-6, 1e-6]
