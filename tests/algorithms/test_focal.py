import pytest
import torch

from ndcl_domainbed.algorithms.focal import focal_loss
from tests.testbed.algorithms.building import (
    assert_update_follows,
    build_double,
    random_minibatches,
)


def plain_focal(logits, y, gamma):
    terms = []
    for f, label in zip(logits, y, strict=True):
        p = (torch.exp(f) / torch.exp(f).sum())[label]
        terms.append((1 - p) ** gamma * -torch.log(p))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 4.5])
def test_update_minimizes_the_mean_focal_loss(gamma):
    algorithm = build_double("Focal", gamma=gamma)
    minibatches = random_minibatches((8, 3, 5), dtype=torch.float64)
    x, y = torch.cat([x for x, _ in minibatches]), torch.cat([y for _, y in minibatches])
    result, loss = assert_update_follows(
        algorithm, minibatches, lambda twin: plain_focal(twin.network(x), y, gamma)
    )
    assert result["loss"] == pytest.approx(loss)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("margin", [0.0, 15.0, 50.0, 500.0])
def test_a_perfect_prediction_has_a_finite_gradient(gamma, margin):
    logits = torch.tensor([[margin, 0.0]], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([0]), gamma)
    loss.backward()
    assert 0 <= loss.item() < 1
    assert bool(torch.isfinite(logits.grad).all())
