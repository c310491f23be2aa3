import math

import pytest
import torch

from imbalance_splits.errors import InputError
from ndcl_domainbed.algorithms.ginidg import class_groups
from tests.testbed.algorithms.building import (
    build,
    build_double,
    cross_entropy,
    hparams_for,
    minibatches_of,
)

ALIGNED = [[2, 0, 0, 3]] * 3


def test_groups_hold_the_nth_samples_of_a_class():
    y = torch.tensor([1, 1, 0, 0, 1, 2])
    domains = torch.tensor([0, 0, 0, 1, 1, 1])
    assert class_groups(y, domains).tolist() == [0, 1, 2, 2, 0, 3]


def test_a_group_has_one_class_and_at_most_one_sample_per_domain():
    torch.manual_seed(0)
    y, domains = torch.randint(4, (40,)), torch.arange(4).repeat_interleave(10)
    groups = class_groups(y, domains)
    assert sorted(set(groups.tolist())) == list(range(int(groups.max()) + 1))
    for group in groups.unique():
        members = groups == group
        assert len(set(y[members].tolist())) == 1
        assert len(set(domains[members].tolist())) == int(members.sum())


class Reversed(torch.nn.Module):
    """A model behind the plain statement of a gradient reversal."""

    def __init__(self, model, factor):
        super().__init__()
        self.model, self.factor = model, factor

    def forward(self, z):
        return self.model(z.detach() * (1 + self.factor) - self.factor * z)


def plain_losses(twin, minibatches, updates, last_update):
    """Return the five losses for minibatches with the same classes in three domains."""
    x, y = torch.cat([x for x, _ in minibatches]), torch.cat([y for _, y in minibatches])
    z = twin.featurizer(x)
    b = len(z) // 3
    center = (z[:b] + z[b : 2 * b] + z[2 * b :]) / 3
    g = twin.generator
    mean, variance = g.mean(center), torch.exp(g.log_sigma(center))
    noise = torch.randn(6 * b, 64).double()
    latent = torch.cat([mean] * 6) + noise * torch.sqrt(1e-8 + torch.cat([variance] * 6))
    generated = g.decoder(latent)
    alpha = 2 / (1 + math.exp(-10 * updates / last_update)) - 1
    real = Reversed(twin.gdiscriminator.model, alpha)(torch.cat([z, generated]))
    told = Reversed(twin.discriminator.model, alpha)(z)
    return {
        "cls": cross_entropy(twin.classifier(z), y),
        "gen": cross_entropy(twin.classifier(generated), torch.cat([y, y])),
        "dom": cross_entropy(told, torch.arange(3).repeat_interleave(b)),
        "dis": cross_entropy(real, torch.tensor([0] * len(z) + [1] * len(generated))),
        "rec": sum(torch.sqrt((d**2).sum()) for d in torch.cat([z, z]) - generated) / (6 * b),
    }


EARLY = {
    "network": "cls dom",
    "generator": "rec gen",
    "gdiscriminator": "",
    "discriminator": "cls dom",
}
LATE = {
    "network": "cls dom gen",
    "generator": "dis gen",
    "gdiscriminator": "dis",
    "discriminator": "cls dom",
}


@pytest.mark.parametrize(("updates", "table"), [(3, EARLY), (1005, LATE)])
def test_each_part_gets_the_gradients_of_its_losses(updates, table):
    algorithm = build_double("GINIDG")
    for part in (algorithm.gdiscriminator, algorithm.discriminator):
        part.eval()  # no dropout
    algorithm.updates, algorithm.last_update = updates, 2000
    minibatches = minibatches_of(ALIGNED, dtype=torch.float64)
    torch.manual_seed(7)
    losses = plain_losses(algorithm, minibatches, updates, 2000)
    expected = {}
    for part, names in table.items():
        parameters = list(getattr(algorithm, part).parameters())
        loss = sum(losses[name] for name in names.split()) + 0 * losses["cls"]
        expected[part] = torch.autograd.grad(
            loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )

    torch.manual_seed(7)
    result = algorithm.update(minibatches)

    assert result == {"loss": pytest.approx((losses["cls"] + losses["dom"]).item())}
    for part, gradients in expected.items():
        for parameter, gradient in zip(
            getattr(algorithm, part).parameters(), gradients, strict=True
        ):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-6, atol=1e-9, msg=part)


def test_the_reversal_grows_over_the_run():
    hparams = hparams_for("GINIDG")
    hparams.n_steps = 1
    assert build("GINIDG", hparams=hparams).last_update == 1
    hparams.n_steps = 5001
    assert build("GINIDG", hparams=hparams).last_update == 5000


def test_without_the_number_of_steps_there_is_an_error():
    hparams = hparams_for("GINIDG")
    hparams.n_steps = None
    with pytest.raises(InputError, match="GINIDG needs the number of updates"):
        build("GINIDG", hparams=hparams)
