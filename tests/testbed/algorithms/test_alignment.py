from itertools import combinations

import pytest
import torch

from ndcl_domainbed.testbed.algorithms.alignment import coral_distance
from tests.testbed.algorithms.building import (
    assert_update_follows,
    build_double,
    cross_entropy,
    random_minibatches,
)

MINIBATCHES = random_minibatches((8, 5, 6), dtype=torch.float64)


def plain_coral(a, b):
    def moments(z):
        n, width = z.shape
        center = sum(z) / n
        covariance = sum(torch.outer(row - center, row - center) for row in z) / (n - 1)
        assert covariance.shape == (width, width)
        return center, covariance

    (center_a, cov_a), (center_b, cov_b) = moments(a), moments(b)
    width = len(center_a)
    return ((center_a - center_b) ** 2).sum() / width + ((cov_a - cov_b) ** 2).sum() / width**2


def plain_mmd(a, b):
    def kernel(u, v):
        square = ((u[:, None] - v) ** 2).sum(dim=2)
        return sum(torch.exp(-(10.0**power) * square).mean() for power in range(-3, 4))

    return kernel(a, a) + kernel(b, b) - 2 * kernel(a, b)


@pytest.mark.parametrize(("name", "distance"), [("CORAL", plain_coral), ("MMD", plain_mmd)])
def test_update_minimizes_risk_plus_distance(name, distance):
    algorithm = build_double(name, mmd_gamma=0.7)
    parts = {}

    def objective(twin):
        features = [twin.featurizer(x) for x, _ in MINIBATCHES]
        risks = [
            cross_entropy(twin.classifier(z), y)
            for z, (_, y) in zip(features, MINIBATCHES, strict=True)
        ]
        pairs = [distance(a, b) for a, b in combinations(features, 2)]
        parts["loss"], parts["penalty"] = sum(risks) / 3, sum(pairs) / 3
        return parts["loss"] + 0.7 * parts["penalty"]

    result, _ = assert_update_follows(algorithm, MINIBATCHES, objective, ("loss", "penalty"))
    assert result == pytest.approx({key: value.item() for key, value in parts.items()})


@pytest.mark.parametrize("width", [7, 19, 20, 40])
def test_coral_with_fewer_and_with_more_features_than_samples(width):
    torch.manual_seed(0)
    features = [
        (1 + torch.randn(n, width, dtype=torch.float64)).requires_grad_() for n in (8, 5, 6)
    ]
    found = coral_distance(features)
    expected = sum(plain_coral(a, b) for a, b in combinations(features, 2)) / 3
    torch.testing.assert_close(found, expected)
    ours, theirs = [torch.autograd.grad(value, features) for value in (found, expected)]
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_a_single_sample_has_no_covariance():
    a, b = torch.randn(1, 5, requires_grad=True), torch.randn(4, 5)
    distance = coral_distance([a, b])
    distance.backward()
    expected = (a[0] - b.mean(0)).pow(2).mean() + torch.cov(b.T).pow(2).mean()
    torch.testing.assert_close(distance, expected)
    assert bool(torch.isfinite(a.grad).all())
