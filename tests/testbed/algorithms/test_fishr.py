from __future__ import annotations

import pytest
import torch

from ndcl_domainbed.testbed import networks
from ndcl_domainbed.testbed.algorithms.fishr import gradient_variance
from tests.testbed.algorithms.building import (
    assert_update_follows,
    build_double,
    cross_entropy,
    joint_logits,
    random_minibatches,
)

MINIBATCHES = random_minibatches((6, 4, 5), dtype=torch.float64)


def looped_variance(classifier, z, y):
    """Return the variance of the gradients of each sample, from one backward pass per sample."""
    rows = []
    for features, label in zip(z, y, strict=True):
        loss = cross_entropy(classifier(features[None]), label[None])
        parts = torch.autograd.grad(loss, list(classifier.parameters()), create_graph=True)
        rows.append(torch.cat([part.flatten() for part in parts]))
    middle = sum(rows) / len(rows)
    return sum((row - middle) ** 2 for row in rows) / len(rows)


@pytest.mark.parametrize("is_nonlinear", [False, True])
@pytest.mark.parametrize("samples", [1, 2, 7])
def test_variance_and_its_gradient_are_those_of_a_loop(is_nonlinear, samples):
    torch.manual_seed(0)
    classifier = networks.Classifier(12, 4, is_nonlinear).double()
    z = torch.randn(samples, 12, dtype=torch.float64, requires_grad=True)
    y = torch.arange(samples) % 4
    found, expected = gradient_variance(classifier, z, y), looped_variance(classifier, z, y)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    weights = torch.randn_like(found)
    leaves = [z, *classifier.parameters()]
    ours = torch.autograd.grad((weights * found).sum(), leaves)
    theirs = torch.autograd.grad(
        (weights * expected).sum(), leaves, allow_unused=True, materialize_grads=True
    )
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-10)


def objective(twin, weight, smoothed, share=0.9):
    risk = cross_entropy(
        torch.cat(joint_logits(twin, MINIBATCHES)), torch.cat([y for _, y in MINIBATCHES])
    )
    z = twin.featurizer(torch.cat([x for x, _ in MINIBATCHES])).split([6, 4, 5])
    used = []
    for d, (features, (_, y)) in enumerate(zip(z, MINIBATCHES, strict=True)):
        variance = looped_variance(twin.classifier, features, y)
        smoothed[d] = share * smoothed[d] + (1 - share) * variance
        used.append(smoothed[d] / (1 - share))
        smoothed[d] = smoothed[d].detach()
    middle = sum(used) / 3
    penalty = sum(((u - middle) ** 2).sum() / u.numel() for u in used) / 3
    return risk + weight * penalty, penalty


def test_update_minimizes_risk_then_risk_plus_penalty():
    algorithm = build_double("Fishr", penalty_anneal_iters=1, ema=0.9, **{"lambda": 50.0})
    smoothed = [0.0, 0.0, 0.0]
    for weight in (0.0, 50.0):
        seen = {}

        def plain(twin, weight=weight, seen=seen):
            loss, seen["penalty"] = objective(twin, weight, smoothed)
            return loss

        # The optimizer is new at the switch, so each of the two updates is its first step.
        result, loss = assert_update_follows(
            algorithm, MINIBATCHES, plain, ("loss", "nll", "penalty")
        )
        assert result["loss"] == pytest.approx(loss)
        assert result["penalty"] == pytest.approx(seen["penalty"].item())
    torch.testing.assert_close(algorithm.smoothed, torch.stack(smoothed))


def test_state_dict_is_that_of_erm_with_a_counter():
    keys = set(build_double("Fishr").state_dict())
    assert keys - set(build_double("ERM").state_dict()) == {"update_count"}
