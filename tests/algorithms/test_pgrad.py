import copy
import math

import numpy as np
import pytest
import torch

from ndcl_domainbed.algorithms.pgrad import principal_gradient
from tests.testbed.algorithms.building import build_double, cross_entropy, random_minibatches

MINIBATCHES = random_minibatches((8, 7, 9), dtype=torch.float64)


def plain_principal_gradient(trajectory):
    """Return the principal gradient through numpy's SVD of the centred trajectory itself."""
    rows = trajectory.numpy()
    centered = rows - rows.mean(axis=0)
    _, lengths, directions = np.linalg.svd(centered, full_matrices=False)
    variances = lengths**2 / (rows.shape[1] - 1)
    way = rows[0] - rows[-1]
    weights = variances[:4] / np.linalg.norm(variances[:4])
    total = np.zeros_like(way)
    for weight, direction in zip(weights, directions, strict=False):
        total += weight * (1 if way @ direction > 0 else -1) * direction
    return np.linalg.norm(way) * total


@pytest.mark.parametrize("points", [2, 3, 4, 5, 10, 16])  # up to 4 there are fewer directions
def test_principal_gradient_is_that_of_an_svd(points):
    torch.manual_seed(points)
    trajectory = torch.randn(points, 40, dtype=torch.float64).cumsum(0)
    found = principal_gradient(trajectory)
    np.testing.assert_allclose(found.numpy(), plain_principal_gradient(trajectory), atol=1e-9)
    way = trajectory[0] - trajectory[-1]
    assert found.norm().item() == pytest.approx(way.norm().item())
    assert (found @ way).item() > 0


def test_nothing_that_moved_gives_zero():
    for points in (1, 7):
        assert principal_gradient(torch.ones(points, 5)).tolist() == [0] * 5


def test_update_walks_through_thirds_and_follows_the_principal_gradient():
    algorithm = build_double("PGrad", weight_decay=0.01)
    network = copy.deepcopy(algorithm.network)
    inner = torch.optim.Adam(network.parameters(), lr=1e-3)
    for seed in range(2):  # the inner moments go on
        np.random.seed(seed)
        order = np.random.permutation(3)
        flat = lambda: torch.cat([p.detach().flatten() for p in network.parameters()])  # noqa: E731
        points = [flat()]
        for r in range(3):
            for d in order:
                x, y = MINIBATCHES[d]
                part = slice(math.floor(r * len(y) / 3), math.floor((r + 1) * len(y) / 3))
                inner.zero_grad()
                loss = cross_entropy(network(x[part]), y[part])
                loss.backward()
                inner.step()
                points.append(flat())
            order = order[np.random.permutation(3)]
        assert len(points) == 10
        gradient = torch.from_numpy(plain_principal_gradient(torch.stack(points)))
        moved = points[0] - 0.1 * (gradient + 0.01 * points[0])
        torch.nn.utils.vector_to_parameters(moved, network.parameters())

        np.random.seed(seed)
        result = algorithm.update(MINIBATCHES)

        assert result == {"loss": pytest.approx(loss.item())}
        found = torch.nn.utils.parameters_to_vector(algorithm.network.parameters())
        torch.testing.assert_close(found, moved, rtol=1e-6, atol=1e-8)
