"""Distances to the decision boundary, against those of models where they are known."""

import pytest
import torch
from torch import nn

from ndcl_domainbed.diagnostics.boundary import (
    crossing_distances,
    feature_distances,
    linear_margins,
    log_odds,
)


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return nn.Linear(6, 5).double()


@torch.no_grad()
def nearest_hyperplane(layer, x):
    """Restate the distance with loops: the nearest hyperplane that bounds the class's region."""
    found = []
    for row in x:
        z = layer(row)
        y = int(z.argmax())
        rivals = [j for j in range(len(z)) if j != y]
        lengths = {j: (layer.weight[y] - layer.weight[j]).norm() for j in rivals}
        found.append(min(float((z[y] - z[j]) / lengths[j]) for j in rivals))
    return torch.tensor(found, dtype=torch.float64)


def test_margin_of_a_linear_classifier_is_the_distance_to_the_nearest_hyperplane(linear):
    x = torch.randn(40, 6, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(
            feature_distances(linear, x, linear(x)), nearest_hyperplane(linear, x)
        )


def test_search_finds_the_margin_of_a_linear_model_of_images(linear):
    x = torch.randn(20, 1, 2, 3, dtype=torch.float64)
    found = crossing_distances(lambda images: linear(images.flatten(1)), x)
    known = nearest_hyperplane(linear, x.flatten(1))
    assert (found >= known).all()  # an upper bound
    torch.testing.assert_close(found, known, rtol=1e-3, atol=1e-3)


def test_curved_boundary_a_circle():
    """The class is that of the radius: 2 or less. No single linear step ends on the circle."""

    def predict(x):
        return torch.stack([x.pow(2).sum(dim=1), torch.full((len(x),), 4.0)], dim=1)

    x = torch.tensor([[0.5, 0.0], [3.0, 4.0], [0.0, -2.2], [1.2, 1.6 - 0.2]])
    known = (x.double().norm(dim=1) - 2).abs()
    torch.testing.assert_close(crossing_distances(predict, x), known, rtol=2e-3, atol=0)


def test_never_below_the_true_distance_of_a_deep_network_and_never_far_above():
    """Against the nearest crossing on a fine polar grid around each point of the plane."""
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(),
                            nn.Linear(16, 4))  # fmt: skip
    x = torch.randn(20, 2)
    angles = torch.linspace(0, 2 * torch.pi, 181)[:-1]
    circle = torch.stack([angles.cos(), angles.sin()], dim=1)
    radii = torch.linspace(0, 4, 401)
    with torch.no_grad():
        inside = network(x).argmax(dim=1)[:, None, None] == network(
            x[:, None, None] + radii[:, None, None] * circle
        ).argmax(dim=-1)
    true = radii[inside.all(dim=2).long().argmin(dim=1)]
    found = crossing_distances(network, x)
    assert (true > 0.05).sum() > 10
    assert (found > true - 0.011).all()  # the grid's step
    assert (found < 2 * true).all()
    assert (found / true).median() < 1.2


def test_model_without_a_gradient_has_no_distance():
    def constant(x):
        return torch.tensor([1.0, 0.0]).expand(len(x), 2) + 0 * x.sum(dim=1, keepdim=True)

    assert crossing_distances(constant, torch.randn(3, 4)).isnan().all()
    assert linear_margins(torch.tensor([[1.0, 0.0]]), torch.zeros(2, 3)).isinf().all()


def test_nonlinear_classifier_is_searched_in_feature_space(linear):
    hidden, x = nn.Sequential(nn.Identity(), linear), torch.randn(10, 6).double()
    with torch.no_grad():
        logits = hidden(x)
    exact, found = (feature_distances(module, x, logits) for module in (linear, hidden))
    torch.testing.assert_close(found, exact, rtol=1e-3, atol=1e-3)


def test_log_odds_order_what_float32_probabilities_cannot():
    logits = torch.tensor([[40.0, 0.0, 0.0], [60.0, 0.0, 0.0], [1.0, 0.0, -1.0]])
    p = logits.softmax(dim=1).amax(dim=1)
    assert p[0] == p[1] == 1
    odds = log_odds(logits)
    assert odds[1] > odds[0] > odds[2]
    assert torch.sigmoid(odds[2]) == pytest.approx(float(p[2]))
