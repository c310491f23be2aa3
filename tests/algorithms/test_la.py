import pytest
import torch

from tests.testbed.algorithms.building import (
    assert_same_parameters,
    assert_update_follows,
    build,
    build_double,
    minibatches_of,
    random_minibatches,
)

COUNTS = [[8, 4, 2, 0], [1, 1, 0, 0], [3, 0, 5, 0]]


@pytest.mark.parametrize("prior", ["pooled", "domain"])
@pytest.mark.parametrize("tau", [0.5, 1.0])
def test_update_minimizes_the_adjusted_risks(prior, tau):
    algorithm = build_double("LA", counts=COUNTS, prior=prior, tau=tau)
    minibatches = minibatches_of([[0, 1, 2, 3, 0], [0, 2, 3], [0, 1]], dtype=torch.float64)

    def objective(twin):
        total = 0.0
        for (x, y), counts in zip(minibatches, COUNTS, strict=True):
            if prior == "pooled":
                counts = [sum(row[k] for row in COUNTS) for k in range(4)]
            weights = torch.tensor([(n or 1) ** tau for n in counts], dtype=torch.float64)
            terms = [
                -torch.log(weights[k] * torch.exp(f[k]) / (weights * torch.exp(f)).sum())
                for f, k in zip(twin.network(x), y, strict=True)
            ]
            total = total + sum(terms) / len(terms)
        return total / 3

    # The shifts are kept in single precision.
    result, loss = assert_update_follows(algorithm, minibatches, objective, rtol=1e-4, atol=1e-6)
    assert result["loss"] == pytest.approx(loss)


@pytest.mark.parametrize(
    ("hparams", "other", "others"),
    [
        ({"prior": "domain"}, "BSoftmax", {}),
        ({"prior": "domain", "prior_strength": 7.0}, "BSoftmax", {"prior_strength": 7.0}),
        ({"prior": "pooled"}, "BSoftmax", {"prior_strength": "pooled"}),
        ({"tau": 0.0}, "CBLoss", {"beta": 0.0}),  # ERM with the same mean over domains
    ],
)
def test_what_it_is_at_the_ends(hparams, other, others):
    counts = [[8, 4, 2, 1], [1, 1, 3, 2], [3, 2, 5, 7]]
    adjusted, known = build("LA", counts=counts, **hparams), build(other, counts=counts, **others)
    for seed in range(2):
        minibatches = random_minibatches(seed=seed)
        expected = known.update(minibatches)
        assert adjusted.update(minibatches) == pytest.approx(expected, rel=1e-5)
    assert_same_parameters(adjusted, known, atol=1e-5)
