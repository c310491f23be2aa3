"""NDCL: one update against plain loops, every variant, batches that have little to give."""

import copy
import math

import pytest
import torch

from ndcl_domainbed.backend import ERM
from ndcl_domainbed.losses import amplification_factor, negatives_contrast
from tests.algorithms.ndcl_cases import (
    ORDINARY,
    WIDTH,
    K,
    each_variant,
    make_algorithm,
    make_hparams,
    minibatches_of,
    plain_mixing,
    plain_terms,
)


@each_variant
def test_updates_are_those_of_the_formulas(variant):
    algorithm = make_algorithm(**variant)
    generator, kept = algorithm.generator.clone_state(), {}
    for seed in range(2):
        minibatches = minibatches_of(*ORDINARY, seed=seed)
        twin = copy.deepcopy(algorithm)
        made = plain_mixing(twin, generator, minibatches)
        terms = plain_terms(twin, made, minibatches, kept)
        settings = algorithm.settings
        weights = (settings.ce_weight, settings.alpha, settings.beta)
        loss = sum(weight * term for weight, term in zip(weights, terms, strict=True))
        twin.optimizer.zero_grad()
        loss.backward()
        twin.optimizer.step()
        found = algorithm.update(minibatches)
        wanted = [torch.as_tensor(value).item() for value in (loss, *terms)]
        assert list(found) == ["loss", "loss_ce", "loss_con", "loss_const"]
        assert list(found.values()) == pytest.approx(wanted, rel=1e-6)
        assert all(type(value) is float for value in found.values())
        for one, other in zip(algorithm.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad)
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-8)


DEGENERATE = {
    "one class": ([1, 1, 1], [1, 1, 1], [1, 1]),
    "one domain": ([0, 0, 1, 2],),
    "single samples": ([0], [1], [2]),
    "one sample": ([3],),
    "unequal sizes": ([0] * 9 + [1], [1], [2, 1]),
    "an empty domain": ([0, 0, 1], [], [1, 2]),
    "no class in two domains": ([0, 0, 0], [1, 1], [2]),
    "one class has 90 %": ([0] * 17 + [1], [0] * 17 + [2], [0] * 17 + [3]),
    "every class once": ([0, 1, 2, 3, 4],),
}


@each_variant
def test_degenerate_batches_train_and_stay_finite(variant):
    algorithm = make_algorithm(**variant)
    for labels in DEGENERATE.values():
        before = copy.deepcopy(algorithm.state_dict())
        found = algorithm.update(minibatches_of(*labels))
        assert all(math.isfinite(value) for value in found.values()), labels
        after = algorithm.state_dict()
        assert all(value.isfinite().all() for value in after.values()), labels
        if algorithm.settings.ce_weight > 0:  # the other terms may have nothing to do
            assert any(not after[name].equal(before[name]) for name in before), labels
        if len({y for domain in labels for y in domain}) == 1:
            assert found["loss_con"] == 0


# ---- The two passes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "passes"),
    [({}, 2), ({"space": "feature"}, 2), ({"contrast": "none"}, 1), ({"alpha": 0.0}, 1)],
)
def test_real_batch_first_and_a_second_pass_only_if_the_contrast_needs_it(changes, passes):
    algorithm = make_algorithm(**changes)
    seen = []
    algorithm.featurizer.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    minibatches = minibatches_of(*ORDINARY)
    found = algorithm.update(minibatches)
    assert len(seen) == passes
    assert seen[0].equal(torch.cat([x for x, _ in minibatches]))
    assert (found["loss_con"] > 0) == (passes == 2)
    if passes == 2:
        assert seen[1].shape == seen[0].shape
        assert not seen[1].equal(seen[0])


def test_half_precision_networks_have_losses_in_full_precision():
    algorithm = make_algorithm().float()
    minibatches = [(x.float(), y) for x, y in minibatches_of(*ORDINARY)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = algorithm.update(minibatches)
    assert all(math.isfinite(value) for value in found.values())
    step = algorithm.last_step
    assert step.anchors.dtype == step.mixed.dtype == torch.float32
    contrast = negatives_contrast(step.anchors, step.labels, step.mixed, step.mixed_classes)
    assert found["loss_con"] == pytest.approx(contrast.item(), rel=1e-6)


# ---- A run is a function of its seed ------------------------------------------------------------


def run(algorithm, steps=3):
    return [algorithm.update(minibatches_of(*ORDINARY, seed=seed)) for seed in range(steps)]


def test_same_seed_same_numbers():
    assert run(make_algorithm(seed=1)) == run(make_algorithm(seed=1))
    one, other = make_algorithm(seed=1), make_algorithm(seed=2)
    assert not one.generator.get_state().equal(other.generator.get_state())


def test_updates_leave_the_global_generator_alone():
    algorithm = make_algorithm()
    state = torch.get_rng_state()
    run(algorithm)
    assert torch.get_rng_state().equal(state)


@pytest.mark.parametrize("moves", [False, True])
def test_the_pass_of_hard_negatives_moves_running_statistics_only_on_request(moves):
    """With one update from the initial statistics, those of the real batch are known."""
    algorithm = make_algorithm(mixed_pass_updates_bn=moves)
    layer = torch.nn.BatchNorm1d(WIDTH, momentum=1.0).double()
    algorithm.network = torch.nn.Sequential(layer, *algorithm.network)
    minibatches = minibatches_of(*ORDINARY)
    algorithm.update(minibatches)
    real = torch.cat([x for x, _ in minibatches]).mean(dim=0)
    assert torch.allclose(layer.running_mean, real) is not moves
    assert layer.num_batches_tracked == 1 + moves
    assert layer.track_running_stats


def test_state_dict_is_that_of_erm_unless_prototypes_are_kept():
    torch.manual_seed(0)
    erm = ERM((WIDTH,), K, 3, make_hparams())
    assert make_algorithm(class_prior="logit").state_dict().keys() == erm.state_dict().keys()
    kept = make_algorithm(prototype_momentum=0.5).state_dict()
    assert kept["prototype_vectors"].shape == (3, K, K)
    in_feature_space = make_algorithm(prototype_momentum=0.5, space="feature").state_dict()
    assert in_feature_space["prototype_vectors"].shape == (3, K, 16)


# ---- What diagnostics ask for -------------------------------------------------------------------


def test_the_last_step_has_the_amplification_of_each_sample():
    algorithm = make_algorithm(kernel="linear", tau=0.5)
    algorithm.update(minibatches_of(*ORDINARY))
    step = algorithm.last_step
    assert step.labels.tolist() == [y for labels in ORDINARY for y in labels]
    wanted = amplification_factor(
        step.anchors, step.labels, step.mixed, step.mixed_classes, kernel="linear", tau=0.5
    )
    assert step.amplification().equal(wanted)
    assert not any(t.requires_grad for t in (step.anchors, step.mixed))


# ---- Its place ----------------------------------------------------------------------------------


def test_predictions_use_plain_logits():
    plain, adjusted = make_algorithm(), make_algorithm(class_prior="logit")
    x = minibatches_of([0, 1])[0][0]
    assert adjusted.predict(x).equal(plain.predict(x))
