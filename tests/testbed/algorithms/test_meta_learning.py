import copy

import pytest
import torch

from tests.testbed.algorithms.building import (
    build,
    build_double,
    cross_entropy,
    random_minibatches,
)

MINIBATCHES = random_minibatches((8, 5, 6), dtype=torch.float64)


def risk_and_gradients(network, x, y):
    risk = cross_entropy(network(x), y)
    return risk, torch.autograd.grad(risk, list(network.parameters()))


def plain_mldg(network, order, n_test, beta, lr, decay):
    """Return Σ (g_i + β g_j)/M and the loss, with g_j after one step of a fresh Adam."""
    train, test = order[:-n_test], order[-n_test:]
    total, loss = [torch.zeros_like(p) for p in network.parameters()], 0.0
    for position, i in enumerate(train):
        j = test[position % n_test]
        n = min(len(MINIBATCHES[i][1]), len(MINIBATCHES[j][1]))
        copied = copy.deepcopy(network)
        risk_i, grads_i = risk_and_gradients(copied, MINIBATCHES[i][0][:n], MINIBATCHES[i][1][:n])
        with torch.no_grad():
            for p, g in zip(copied.parameters(), grads_i, strict=True):
                decayed = g + decay * p
                p -= lr * decayed / (decayed.abs() + 1e-8)
        risk_j, grads_j = risk_and_gradients(copied, MINIBATCHES[j][0][:n], MINIBATCHES[j][1][:n])
        for t, g_i, g_j in zip(total, grads_i, grads_j, strict=True):
            t += (g_i + beta * g_j) / 3
        loss += (risk_i + beta * risk_j).item() / 3
    return total, loss


@pytest.mark.parametrize("n_meta_test", [1, 2])
def test_mldg_adds_up_gradients_before_and_after_an_inner_step(n_meta_test):
    algorithm = build_double("MLDG", n_meta_test=n_meta_test, mldg_beta=0.6, weight_decay=0.1)
    torch.manual_seed(4)
    order = torch.randperm(3).tolist()
    expected, loss = plain_mldg(algorithm.network, order, n_meta_test, 0.6, lr=1e-3, decay=0.1)
    torch.manual_seed(4)
    result = algorithm.update(MINIBATCHES)
    assert result["loss"] == pytest.approx(loss)
    for parameter, gradient in zip(algorithm.network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("domains", [1, 2])
def test_mldg_trains_when_all_domains_are_asked_for_testing(domains):
    algorithm = build("MLDG", domains, n_meta_test=2)
    before = algorithm.classifier.weight.clone()
    result = algorithm.update(random_minibatches([6] * domains))
    assert result["loss"] > 0
    assert not torch.equal(before, algorithm.classifier.weight)


@pytest.mark.parametrize("name", ["MLDG", "Fish", "PGrad"])
def test_batch_normalization_sees_the_data(name):
    algorithm = build(name)
    buffers = {k: v.clone() for k, v in algorithm.network.named_buffers() if "running" in k}
    algorithm.update(random_minibatches())
    moved = dict(algorithm.network.named_buffers())
    assert buffers
    assert not any(torch.equal(before, moved[key]) for key, before in buffers.items())


def test_fish_moves_part_of_the_way_that_the_inner_adam_goes():
    algorithm = build_double("Fish", meta_lr=0.3)
    network = copy.deepcopy(algorithm.network)
    inner = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(2):  # the moments go on
        start = copy.deepcopy(network.state_dict())
        for x, y in MINIBATCHES:
            inner.zero_grad()
            loss = cross_entropy(network(x), y)
            loss.backward()
            inner.step()
        for key, end in network.state_dict().items():
            if end.is_floating_point():
                end.copy_(start[key] + 0.3 * (end - start[key]))
        result = algorithm.update(MINIBATCHES)
        assert result["loss"] == pytest.approx(loss.item())
    for key, value in network.state_dict().items():
        torch.testing.assert_close(algorithm.network.state_dict()[key], value)
