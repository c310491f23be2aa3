import copy
from itertools import combinations

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from imbalance_splits.errors import InputError
from ndcl_domainbed.algorithms.boda import boda_loss
from tests.testbed.algorithms.building import (
    assert_update_follows,
    build,
    build_double,
    cross_entropy,
    hparams_for,
    minibatches_of,
    random_minibatches,
)
from tests.testbed.algorithms.test_alignment import plain_coral

COUNTS = np.array([[7, 3, 2, 0], [4, 0, 3, 9], [5, 5, 1, 1]])
LABELS = [[0, 1, 2, 0], [0, 2, 3], [3, 1, 0, 2]]


def plain_terms(z, y, domain, centroids, nu, temperature):
    """Return the terms -λ of the paper, in loops over present pairs."""
    pairs = [(d, k) for d in range(3) for k in range(4) if COUNTS[d, k] > 0]
    terms = []
    for row, label in zip(z, y.tolist(), strict=True):
        own = max(COUNTS[domain, label], 1)
        affinity = {}
        for d, k in pairs:
            distance = torch.sqrt(((centroids[d, k] - row) ** 2).sum())
            affinity[d, k] = -distance / own * (COUNTS[d, k] / own) ** nu / temperature
        others = [torch.exp(a) for pair, a in affinity.items() if pair != (domain, label)]
        for d, k in pairs:
            if k == label and d != domain:
                terms.append(torch.log(sum(others)) - affinity[d, k])
    return terms


def test_a_class_of_one_domain_has_nothing_to_align_with():
    z = torch.randn(2, 6, requires_grad=True)
    counts = torch.tensor([[3.0, 0.0], [0.0, 2.0]])
    zeros = torch.tensor([0, 0])
    found = boda_loss(z, zeros, zeros, torch.zeros(2, 2, 6), counts, 0.5, 1.0)
    found.backward()
    assert found.item() == 0
    assert bool((z.grad == 0).all())


def test_features_far_from_zero_and_near_the_centroids():
    torch.manual_seed(0)
    centroids = 30 + torch.randn(3, 4, 16)
    y, domains = torch.tensor([0, 1, 2, 3]), torch.tensor([0, 0, 1, 2])
    z = centroids[domains, y] + 1e-2 * torch.randn(4, 16)
    counts = torch.from_numpy(COUNTS).float()
    found, exact = [
        boda_loss(z.to(t), y, domains, centroids.to(t), counts.to(t), 0.7, 1.4)
        for t in (torch.float32, torch.float64)
    ]
    torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=0)


def with_centroids(**overrides):
    """Return an algorithm that is about to make its second refresh, and its training features."""
    algorithm = build_double("BoDA", counts=COUNTS.tolist(), boda_start_step=2, **overrides)
    algorithm.hparams["feat_update_freq"] = 1
    algorithm.updates = 2
    sets = [[tensor.double() for tensor in one.tensors] for one in algorithm.hparams.train_sets]
    algorithm.hparams.train_sets = [TensorDataset(x, y.long()) for x, y in sets]
    twin = copy.deepcopy(algorithm).eval()
    return algorithm, [(twin.featurizer(x).detach(), y.long()) for x, y in sets]


def test_update_minimizes_the_three_terms():
    algorithm, features = with_centroids(
        macro_weight=0.6, boda_weight=0.3, nu=0.7, temperature=1.4, momentum=0.0
    )
    minibatches = minibatches_of(LABELS, dtype=torch.float64)
    centroids = {
        (d, k): z[y == k].mean(0)
        for d, (z, y) in enumerate(features)
        for k in range(4)
        if COUNTS[d, k] > 0
    }
    parts = {}

    def objective(twin):
        found = [twin.featurizer(x) for x, _ in minibatches]
        labels = [y for _, y in minibatches]
        risks = [cross_entropy(twin.classifier(z), y) for z, y in zip(found, labels, strict=True)]
        terms = []
        for domain, (z, y) in enumerate(zip(found, labels, strict=True)):
            terms += plain_terms(z, y, domain, centroids, 0.7, 1.4)
        pairs = [plain_coral(a, b) for a, b in combinations(found, 2)]
        parts["loss"], parts["penalty"] = sum(risks) / 3, sum(pairs) / 3
        parts["loss_boda"] = sum(terms) / len(terms)
        return parts["loss"] + 0.6 * parts["penalty"] + 0.3 * parts["loss_boda"]

    result, _ = assert_update_follows(algorithm, minibatches, objective, tuple(parts))
    assert result == pytest.approx({key: value.item() for key, value in parts.items()})


def test_centroids_move_with_momentum_where_there_are_features():
    algorithm, features = with_centroids(momentum=0.25)
    old = torch.randn_like(algorithm.train_centroids)
    algorithm.train_centroids.copy_(old)
    algorithm.update(minibatches_of(LABELS, dtype=torch.float64))
    for d, (z, y) in enumerate(features):
        for k in range(4):
            before, found = old[4 * d + k], algorithm.train_centroids[4 * d + k]
            wanted = 0.75 * z[y == k].mean(0) + 0.25 * before if (y == k).any() else before
            torch.testing.assert_close(found, wanted)


def test_centroids_come_from_the_training_sets_at_the_refresh():
    counts = [[70, 2, 1, 1], [3, 3, 3, 3]]
    algorithm = build("BoDA", 2, counts=counts, feat_update_freq=2, boda_start_step=0, lr=0.0)
    minibatches = random_minibatches((4, 4))
    for update in range(3):
        assert bool((algorithm.train_centroids == 0).all())  # before the third update
        result = algorithm.update(minibatches)
        assert (result["loss_boda"] > 0) == (update == 2)
    assert algorithm.training
    twin = build("BoDA", 2, counts=counts)
    before = random_minibatches((4, 4))
    for _ in range(2):  # the running statistics that the refresh has seen
        for x, _ in before:
            twin.featurizer(x)
    twin.eval()
    for d, train_set in enumerate(algorithm.hparams.train_sets):
        x, y = train_set.tensors
        z = twin.featurizer(x)
        for k in range(4):
            expected = z[y == k].mean(0)
            torch.testing.assert_close(algorithm.train_centroids[4 * d + k], expected)


def test_without_training_sets_there_is_an_error():
    hparams = hparams_for("BoDA")
    hparams.train_sets = None
    with pytest.raises(InputError, match="BoDA needs the training sets"):
        build("BoDA", hparams=hparams)


def test_a_sample_on_a_centroid_has_no_slope_towards_it():
    torch.manual_seed(0)
    centroids = torch.randn(3, 4, 16)
    counts = torch.from_numpy(COUNTS).float()
    z = centroids[[1, 2], [0, 1]].clone().requires_grad_()
    zeros = torch.tensor([0, 0])
    boda_loss(z, torch.tensor([0, 1]), zeros, centroids, counts, 0.7, 1.4).backward()
    assert z.grad.isfinite().all()
    assert z.grad.abs().max() < 10
