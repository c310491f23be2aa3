import pytest
import torch

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
@pytest.mark.parametrize("sizes", [[1, 1], [2, 5], [7, 1, 4]])
def test_penalty_and_its_gradient_are_those_of_a_loop(is_nonlinear, sizes):
    algorithm = build_double("Fishr", len(sizes), ema=0.9, nonlinear_classifier=is_nonlinear)
    classifier = algorithm.classifier
    z = torch.randn(sum(sizes), algorithm.featurizer.n_outputs, dtype=torch.float64)
    z, y = z.requires_grad_(), torch.arange(sum(sizes)) % 4
    before = torch.rand_like(algorithm.smoothed.double())
    algorithm.smoothed = before.clone()
    found = algorithm.penalty(classifier(z), z, y, sizes)
    parts = zip(z.split(sizes), y.split(sizes), strict=True)
    variances = torch.stack([looped_variance(classifier, *part) for part in parts])
    smoothed = 0.9 * before + 0.1 * variances
    used = smoothed / (1 - 0.9)
    expected = ((used - used.mean(dim=0)) ** 2).mean()
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(algorithm.smoothed, smoothed.detach(), rtol=1e-9, atol=1e-12)
    leaves = [z, *classifier.parameters()]
    ours, theirs = (
        torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
        for value in (found, expected)
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
