"""Sharpness-aware steps against a plain restatement, for every algorithm that makes them."""

import copy

import pytest
import torch
from torch import nn

from imbalance_splits.errors import InputError
from ndcl_domainbed import registry
from ndcl_domainbed.backend import ERM
from ndcl_domainbed.hparams import VECTORS
from ndcl_domainbed.testbed.algorithms.descent import OneLoss
from ndcl_domainbed.testbed.hparams_registry import hparams_of
from tests.algorithms import ndcl_cases
from tests.testbed.algorithms import battery
from tests.testbed.algorithms.building import (
    VECTOR_SHAPE,
    build,
    build_double,
    cross_entropy,
    joint_logits,
    random_minibatches,
)

SHARPNESS_AWARE = {
    *("ERM", "ReSample", "Focal", "BSoftmax", "LA", "LDAM", "LDAM_DRW"),
    *("ReWeight", "SqrtReWeight", "CBLoss", "NDCL"),
}
RHO = 0.3


def plain_sam(twin, objective, rho):
    """One step of gradient descent with lr 0.1 along the gradient at w + rho g / |g|."""
    weights = list(twin.network.parameters())
    kept = [w.detach().clone() for w in weights]
    gradient = torch.autograd.grad(objective(twin), weights)
    length = sum((g * g).sum() for g in gradient).sqrt()
    with torch.no_grad():
        for w, g in zip(weights, gradient, strict=True):
            w.copy_(w + rho * g / length)
    gradient = torch.autograd.grad(objective(twin), weights)
    with torch.no_grad():
        for w, old, g in zip(weights, kept, gradient, strict=True):
            w.copy_(old - 0.1 * g)


def make_twins(algorithm):
    """Return an algorithm that descends without momentum, and a copy of it."""
    algorithm.optimizer = torch.optim.SGD(algorithm.network.parameters(), lr=0.1)
    return algorithm, copy.deepcopy(algorithm)


def assert_same_weights(algorithm, twin):
    for one, other in zip(algorithm.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def mean_risk(twin, minibatches):
    y = torch.cat([y for _, y in minibatches])
    return cross_entropy(torch.cat(joint_logits(twin, minibatches)), y)


def test_steps_follow_the_gradient_at_the_worst_weights_nearby():
    algorithm, twin = make_twins(build_double("ERM", dataset=VECTORS, sam_rho=RHO))
    for seed in range(4):
        minibatches = random_minibatches((6, 4, 7), seed, torch.float64, VECTOR_SHAPE)
        loss = mean_risk(twin, minibatches)
        plain_sam(twin, lambda twin, batch=minibatches: mean_risk(twin, batch), RHO)
        found = algorithm.update(minibatches)
        assert found["loss"] == pytest.approx(loss.item(), rel=1e-12)
        assert_same_weights(algorithm, twin)


@pytest.mark.parametrize(
    "changes",
    [{}, {"prototype_momentum": 0.6}, {"space": "feature"}, {"pairing": "released"}],
)
def test_ndcl_mixes_and_keeps_prototypes_once(changes):
    algorithm, twin = make_twins(ndcl_cases.make_algorithm(sam_rho=RHO, **changes))
    generator, kept = algorithm.generator.clone_state(), {}
    for seed in range(2):
        batch = ndcl_cases.minibatches_of(*ndcl_cases.ORDINARY, seed=seed)
        made = ndcl_cases.plain_mixing(twin, generator, batch)
        after = dict(kept)
        ndcl_cases.plain_terms(twin, made, batch, after)

        def objective(twin, made=made, batch=batch, kept=kept):
            terms = ndcl_cases.plain_terms(twin, made, batch, dict(kept))
            return terms[0] + 0.1 * terms[1] + 0.1 * terms[2]

        plain_sam(twin, objective, RHO)
        algorithm.update(batch)
        assert_same_weights(algorithm, twin)
        kept = after
    assert algorithm.generator.get_state().equal(generator.get_state())


@pytest.mark.parametrize("name", sorted(SHARPNESS_AWARE - {"NDCL"}))
def test_an_update_is_the_plain_one_at_other_weights(name):
    """So nothing in its loss depends on more than the weights and the minibatches."""
    algorithm, twin = make_twins(build_double(name, dataset=VECTORS, sam_rho=RHO))
    twin.hparams = {**twin.hparams, "sam_rho": 0.0}
    (group,) = twin.optimizer.param_groups
    minibatches = random_minibatches((6, 4, 7), 0, torch.float64, VECTOR_SHAPE)
    group["lr"] = 0.0
    twin.update(minibatches)
    length = torch.cat([w.grad.flatten() for w in twin.parameters()]).norm()
    with torch.no_grad():
        for w in twin.parameters():
            w += RHO * w.grad / length
    twin.update(minibatches)
    algorithm.update(minibatches)
    for one, other in zip(algorithm.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", sorted(SHARPNESS_AWARE))
def test_weights_return_bit_for_bit_and_running_statistics_move_once(name):
    moved = []
    for rho in (0.0, RHO):
        algorithm = build(name, dataset=VECTORS, sam_rho=rho, lr=0.0)
        layer = nn.BatchNorm1d(VECTOR_SHAPE[0])
        algorithm.featurizer = nn.Sequential(layer, algorithm.featurizer)
        algorithm.network[0] = algorithm.featurizer
        before = [w.detach().clone() for w in algorithm.parameters()]
        algorithm.update(random_minibatches(shape=VECTOR_SHAPE))
        assert all(map(torch.equal, algorithm.parameters(), before))
        assert layer.track_running_stats
        moved.append((layer.running_mean, layer.running_var, layer.num_batches_tracked))
    assert all(map(torch.equal, *moved))


@pytest.mark.parametrize("name", ["ERM", "NDCL"])
def test_within_autocast_the_second_pass_sees_the_other_weights(name):
    gradients = []
    for rho in (0.0, 5.0):
        torch.manual_seed(0)
        algorithm = build(name, dataset=VECTORS, sam_rho=rho, lr=0.0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            algorithm.update(random_minibatches(shape=VECTOR_SHAPE))
        gradients.append([w.grad for w in algorithm.parameters()])
    assert not any(map(torch.equal, *gradients))


@pytest.mark.parametrize("name", ["LDAM_DRW", "NDCL"])
def test_no_minibatch_makes_a_nan(name):
    battery.check_hard_minibatches(name, sam_rho=RHO)


@pytest.mark.parametrize("rho", [RHO, 10.0])
def test_a_gradient_of_zero_leaves_the_weights(rho):
    algorithm = build("Focal", dataset=VECTORS, sam_rho=rho, weight_decay=0.0)
    algorithm.compute_loss = lambda minibatches: 0.0 * algorithm.predict(minibatches[0][0]).sum()
    before = [w.detach().clone() for w in algorithm.parameters()]
    algorithm.update(random_minibatches(shape=VECTOR_SHAPE))
    assert all(map(torch.equal, algorithm.parameters(), before))


@pytest.mark.parametrize("name", registry.algorithm_names())
def test_all_other_algorithms_refuse_it(name):
    """Whatever has more: penalties, moving state, draws, several losses, steps or optimizers."""
    overrides = {"sam_rho": 0.05}
    if name in SHARPNESS_AWARE:
        assert registry.run_hparams(name, "PACS", overrides=overrides)["sam_rho"] == 0.05
        assert registry.run_hparams(name, "PACS", hparams_seed=3)["sam_rho"] == 0.0
    else:
        with pytest.raises(InputError, match=f"^{name} takes no sam_rho: .*\nThese .* ERM, .*NDCL"):
            registry.run_hparams(name, "PACS", overrides=overrides)


def test_an_update_of_ones_own_takes_it_if_its_class_says_so():
    class Same(ERM):
        pass

    class Own(ERM):
        def update(self, minibatches, unlabeled=None):
            return {"loss": 0.0}

    class Stated(OneLoss, ERM):
        def compute_loss(self, minibatches):
            return self.predict(minibatches[0][0]).square().mean()

    class Counted(Stated):
        HPARAMS = OneLoss.HPARAMS

        def update(self, minibatches, unlabeled=None):
            return super().update(minibatches)

    taking = [cls for cls in (Same, Own, Stated, Counted) if "sam_rho" in hparams_of(cls)]
    assert taking == [Same, Stated, Counted]
