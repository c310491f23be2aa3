import copy

import pytest
import torch

from ndcl_domainbed.hparams import VECTORS
from tests.testbed.algorithms.building import (
    VECTOR_SHAPE,
    build,
    build_double,
    cross_entropy,
    minibatches_of,
)

LABELS = [[0, 1, 3, 0, 0], [1, 1, 3], [3, 0, 1, 1]]  # class 2 is absent
MINIBATCHES = minibatches_of(LABELS, dtype=torch.float64)
DOMAINS = torch.tensor([0] * 5 + [1] * 3 + [2] * 4)


def plain_losses(twin, grad_penalty, conditional):
    """Return the classification and the discriminator loss, sample by sample."""
    x, y = torch.cat([x for x, _ in MINIBATCHES]), torch.cat([y for _, y in MINIBATCHES])
    z = twin.featurizer(x)
    seen = z + twin.class_embeddings(y) if conditional else z
    told = zip(twin.discriminator(seen), DOMAINS, strict=True)
    rows = [cross_entropy(logits[None], domain[None]) for logits, domain in told]
    if conditional:
        of_class = [[r for r, k in zip(rows, y.tolist(), strict=True) if k == c] for c in range(4)]
        disc_loss = sum(sum(c) / len(c) for c in of_class if c) / 4
    else:
        disc_loss = sum(rows) / len(rows)
    (slope,) = torch.autograd.grad(sum(rows), seen, create_graph=True)
    disc_loss = disc_loss + grad_penalty * (slope**2).sum() / len(y)
    return cross_entropy(twin.classifier(z), y), disc_loss


@pytest.mark.parametrize("name", ["DANN", "CDANN"])
@pytest.mark.parametrize("grad_penalty", [0.0, 0.4])
def test_generator_first_then_discriminator(name, grad_penalty):
    algorithm = build_double(name, grad_penalty=grad_penalty, **{"lambda": 0.7})
    sides = (("gen_loss", "gen_opt", -0.7), ("disc_loss", "disc_opt", None))
    for key, optimizer, weight in sides:
        twin = copy.deepcopy(algorithm)
        class_loss, disc_loss = plain_losses(twin, grad_penalty, conditional=name == "CDANN")
        loss = disc_loss if weight is None else class_loss + weight * disc_loss
        getattr(twin, optimizer).zero_grad()
        loss.backward()

        result = algorithm.update(MINIBATCHES)

        assert result == {key: pytest.approx(loss.item())}
        trained = getattr(algorithm, optimizer).param_groups[0]["params"]
        expected = getattr(twin, optimizer).param_groups[0]["params"]
        for ours, theirs in zip(trained, expected, strict=True):
            if theirs.grad is not None:
                torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["DANN", "CDANN"])
def test_the_penalty_is_defined_without_trained_features(name):
    """A linear probe on frozen features: there is nothing below the features to differentiate."""
    losses = []
    for grad_penalty in (0.0, 0.4, 0.8):
        probe = build(name, dataset=VECTORS, adapter_depth=0, grad_penalty=grad_penalty)
        minibatches = minibatches_of(LABELS, shape=VECTOR_SHAPE)
        first, second = probe.update(minibatches), probe.update(minibatches)
        losses.append((first | second)["disc_loss"])
    assert losses[0] < losses[1]
    assert losses[2] - losses[1] == pytest.approx(losses[1] - losses[0], rel=1e-3)


@pytest.mark.parametrize("d_steps", [1, 2, 3])
def test_discriminator_steps_per_generator_step(d_steps):
    algorithm = build("DANN", d_steps_per_g_step=d_steps)
    minibatches = minibatches_of(LABELS)
    keys = [next(iter(algorithm.update(minibatches))) for _ in range(8)]
    for position in range(8 - d_steps):
        assert keys[position : position + d_steps + 1].count("gen_loss") == 1


def test_each_side_moves_only_its_own():
    algorithm = build("CDANN")
    minibatches = minibatches_of(LABELS)
    sides = {"disc_loss": ("discriminator", "class_embeddings"), "gen_loss": ("featurizer",)}
    for _ in range(4):
        before = {name: value.clone() for name, value in algorithm.named_parameters()}
        (key,) = algorithm.update(minibatches)
        moved = {n.split(".")[0] for n, v in algorithm.named_parameters() if (v != before[n]).any()}
        assert moved <= {*sides[key], *(("classifier",) if key == "gen_loss" else ())}
        assert set(sides[key]) <= moved


def test_optimizers_take_their_own_hyper_parameters():
    own = {"lr_d": 0.1, "lr_g": 0.2, "weight_decay_d": 0.3, "weight_decay_g": 0.4, "beta1": 0.25}
    algorithm = build("DANN", **own)
    (disc,), (gen,) = algorithm.disc_opt.param_groups, algorithm.gen_opt.param_groups
    assert (disc["lr"], disc["weight_decay"], disc["betas"]) == (0.1, 0.3, (0.25, 0.9))
    assert (gen["lr"], gen["weight_decay"], gen["betas"]) == (0.2, 0.4, (0.25, 0.9))
