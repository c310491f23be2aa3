import pytest
import torch

from ndcl_domainbed.hparams import VECTORS
from tests.testbed.algorithms.building import (
    VECTOR_SHAPE,
    assert_update_follows,
    build,
    build_double,
    cross_entropy,
    hparams_for,
    minibatches_of,
    random_minibatches,
)


@pytest.mark.parametrize("kind", ["DigitsDG", VECTORS])
def test_update_minimizes_risk_and_penalty(kind):
    hparams = hparams_for("MIRO", dataset=kind, mi_weight=0.3, encoder_lr_factor=1.0)
    algorithm = build("MIRO", hparams=hparams).double()
    shape = VECTOR_SHAPE if kind == VECTORS else (3, 8, 8)
    minibatches = random_minibatches((8, 3, 5), dtype=torch.float64, shape=shape)
    x, y = torch.cat([x for x, _ in minibatches]), torch.cat([y for _, y in minibatches])

    def objective(twin):
        z = twin.featurizer(x)
        oracle = x if kind == VECTORS else twin.pretrained(x)
        mean = z if kind != VECTORS else z @ twin.mean_encoder.weight.T + twin.mean_encoder.bias
        variance = torch.log(1 + torch.exp(twin.variance_bias)) + 1e-5
        penalty = 0.0
        for mu, z0 in zip(mean, oracle, strict=True):
            penalty = penalty + ((torch.log(variance) + (z0 - mu) ** 2 / variance) / 2).sum()
        return cross_entropy(twin.classifier(z), y) + 0.3 * penalty / oracle.numel()

    result, loss = assert_update_follows(algorithm, minibatches, objective, ("loss", "penalty"))
    assert result["loss"] + 0.3 * result["penalty"] == pytest.approx(loss)


def test_the_pretrained_network_stays_as_it_was():
    algorithm = build("MIRO")
    before = {name: value.clone() for name, value in algorithm.pretrained.state_dict().items()}
    start = {name: value.clone() for name, value in algorithm.featurizer.state_dict().items()}
    assert all(torch.equal(start[name], value) for name, value in before.items())
    algorithm.train()
    for seed in range(3):
        algorithm.update(random_minibatches(seed=seed))
    after = algorithm.pretrained.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not all(
        torch.equal(algorithm.featurizer.state_dict()[name], value) for name, value in start.items()
    )


def test_the_variance_starts_at_a_tenth_and_learns_faster():
    algorithm = build_double("MIRO", encoder_lr_factor=10.0)
    start = algorithm.variance_bias.detach().clone()
    assert torch.nn.functional.softplus(start[0]).item() == pytest.approx(0.1)
    algorithm.update(minibatches_of([[0, 1, 2], [1, 2], [3, 3]], dtype=torch.float64))
    moved = (algorithm.variance_bias - start).abs()
    # Adam's first step has the length of the learning rate.
    expected = torch.full_like(moved, 10 * algorithm.hparams["lr"])
    torch.testing.assert_close(moved, expected, rtol=1e-3, atol=0)
