import pytest
import torch

from ndcl_domainbed.algorithms.tcri_hsic import class_dependence
from tests.testbed.algorithms.building import (
    assert_update_follows,
    build,
    build_double,
    cross_entropy,
    minibatches_of,
)

LABELS = [[0, 0, 3, 0, 1, 3], [1, 1, 1, 0, 3], [2, 0, 0, 2, 2, 2]]
KEYS = ("loss", "nll", "tcri_penalty", "tic_nll")


def plain_kernel(u):
    squares = torch.stack([torch.stack([((a - b) ** 2).sum() for a in u]) for b in u])
    away = sorted(value.item() for value in squares.flatten() if value.item() > 0)
    median = away[(len(away) - 1) // 2]
    position = next(i for i, v in enumerate(squares.flatten().tolist()) if v == median)
    return torch.exp(-squares / (2 * squares.flatten()[position]))


def plain_dependence(a, b, y):
    total = 0.0
    classes = sorted(set(y.tolist()))
    for label in classes:
        rows = [i for i, k in enumerate(y.tolist()) if k == label]
        n = len(rows)
        if n < 2:
            continue
        center = torch.eye(n, dtype=a.dtype) - torch.ones(n, n, dtype=a.dtype) / n
        one, other = [center @ plain_kernel(u[rows]) @ center for u in (a, b)]
        total = total + (one * other).sum()
    return total / (len(classes) * len(y))


def dependence(a, b, y, num_classes):
    """Return that of a single domain."""
    return class_dependence(a[None], b[None], y[None], num_classes)[0]


@pytest.mark.parametrize("labels", LABELS)
def test_dependence_and_its_gradient_are_those_of_a_loop_over_classes(labels):
    torch.manual_seed(1)
    a, b = [torch.randn(len(labels), 7, dtype=torch.float64, requires_grad=True) for _ in "ab"]
    y = torch.tensor(labels)
    found, expected = dependence(a, b, y, 4), plain_dependence(a, b, y)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    ours, theirs = [torch.autograd.grad(value, (a, b)) for value in (found, expected)]
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("spread", [0.0, 1e-5])
def test_coinciding_rows_have_a_finite_gradient(spread):
    torch.manual_seed(2)
    a = (torch.ones(4, 5) + spread * torch.randn(4, 5)).requires_grad_()
    b = torch.randn(4, 5, requires_grad=True)
    found = dependence(a, b, torch.tensor([0, 0, 0, 1]), 2)
    found.backward()
    assert bool(torch.isfinite(found))
    assert bool(torch.isfinite(a.grad).all() and torch.isfinite(b.grad).all())


@pytest.mark.parametrize(("anneal", "weight"), [(5, 1.0), (0, 9.0)])
def test_update_minimizes_the_three_terms(anneal, weight):
    algorithm = build_double(
        "TCRI_HSIC",
        tcri_beta=9.0,
        tcri_beta_anneal_iters=anneal,
        tcri_alpha=0.6,
        backbone="mnist_cnn",
    )
    minibatches = minibatches_of(LABELS, dtype=torch.float64)
    parts = dict.fromkeys(KEYS[1:], 0.0)

    def objective(twin):
        for d, (x, y) in enumerate(minibatches):
            z = twin.featurizer(x)
            a, b = twin.domain_general_featurizer(z), twin.spurious_featurizer(z)
            own = twin.spurious_classifiers[d](torch.cat([a, b], dim=1))
            parts["nll"] += cross_entropy(twin.classifier(a), y) / 3
            parts["tic_nll"] += cross_entropy(own, y) / 3
            parts["tcri_penalty"] += plain_dependence(a, b, y) / 3
        return parts["nll"] + 0.6 * parts["tic_nll"] + weight * parts["tcri_penalty"]

    result, loss = assert_update_follows(algorithm, minibatches, objective, KEYS)
    assert result["loss"] == pytest.approx(loss)
    assert all(result[key] == pytest.approx(value.item()) for key, value in parts.items())


def test_the_renewed_optimizer_still_trains_everything():
    algorithm = build("TCRI_HSIC", tcri_beta_anneal_iters=0)
    algorithm.update(minibatches_of(LABELS))
    before = {name: p.clone() for name, p in algorithm.named_parameters()}
    algorithm.update(minibatches_of(LABELS))
    moved = {n.split(".")[0] for n, p in algorithm.named_parameters() if (p != before[n]).any()}
    assert {"spurious_featurizer", "spurious_classifiers"} <= moved
