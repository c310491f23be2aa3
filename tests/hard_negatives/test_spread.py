"""The default pairing against a slow, plain restatement, by property, and worked out by hand."""

import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ndcl_domainbed import hard_negatives as module
from ndcl_domainbed.hard_negatives import (
    BUDGETS,
    allocate_budget,
    draw_beta,
    fixed_class_budget,
    hard_negatives,
)
from tests.hard_negatives.labels import CONFIDENCES, make_confident, shuffled_labels
from tests.hard_negatives.plain_spread import (
    generator_of,
    make_batch,
    mix,
    pair_class_0,
    plain_budgets,
    plain_selection,
)
from tests.losses.watching import Watch


@st.composite
def batches(draw):
    largest = draw(st.sampled_from([2, 12]))  # few samples make rounds of negatives
    labels, k, seed = draw(shuffled_labels([2, 3, 7, 12, 345], largest))
    return make_confident(make_batch(labels, k, seed), draw(st.sampled_from(CONFIDENCES)), k)


modes = st.sampled_from(BUDGETS)


@settings(deadline=None, derandomize=True, max_examples=120)
@given(batches(), modes, st.integers(1, 40))
def test_selection_rounds_and_mixtures_are_those_of_the_plain_loops(batch, mode, per_class):
    mixed = mix(batch, budget=mode, per_class=per_class)
    wanted = plain_selection(batch, mode, per_class)
    if not wanted:
        assert (mixed.classes == -1).all()
        return
    found = zip(mixed.classes.tolist(), mixed.first.tolist(), mixed.second.tolist(), strict=True)
    assert list(found) == [(one.k, one.first, one.second) for one in wanted]
    by_round = {}
    for one, value in zip(wanted, mixed.lambdas.tolist(), strict=True):
        by_round.setdefault(one.round, set()).add(value)
    assert all(len(values) == 1 for values in by_round.values())
    assert len(set.union(*by_round.values())) == len(by_round)
    assert ((mixed.lambdas >= 0) & (mixed.lambdas <= 1)).all()
    weights = mixed.lambdas[:, None, None]
    inputs = weights * batch.inputs[mixed.first] + (1 - weights) * batch.inputs[mixed.second]
    torch.testing.assert_close(mixed.inputs, inputs)
    assert mixed.third.equal(mixed.second)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(batches(), modes)
def test_a_lambda_per_pair_changes_no_pair_and_the_generator_decides(batch, mode):
    mixed = mix(batch, budget=mode, per_pair=True)
    assert len(mixed.lambdas.unique()) == len(mixed.lambdas)
    for one, other in zip(mixed, mix(batch, budget=mode, per_pair=True), strict=True):
        assert one.equal(other)
    shared = mix(batch, budget=mode)
    assert mixed.first.equal(shared.first)
    assert mixed.second.equal(shared.second)
    assert mixed.lambdas.ne(mix(batch, seed=1, budget=mode, per_pair=True).lambdas).all()


def test_draws_depend_on_the_size_of_the_batch_alone():
    states = []
    for labels in ([0, 1, 2, 3], [0, 0, 0, 1], [2, 2, 2, 2]):
        generator = generator_of(5)
        hard_negatives(*make_batch(labels, 4), 0.2, generator)
        states.append(generator.get_state())
    assert states[0].equal(states[1])
    assert states[0].equal(states[2])


@pytest.mark.parametrize("labels", [[1], [1, 1, 1, 1]])
def test_one_class_has_no_negatives(labels):
    batch = make_batch(labels, 3)
    for mode in ("frequency", "equal"):
        mixed = mix(batch, budget=mode)
        assert mixed.classes.tolist() == [-1] * len(labels)
        assert mixed.inputs.shape == batch.inputs.shape
        assert mixed.inputs.isfinite().all()
    mixed = mix(batch, budget="fixed")
    assert mixed.inputs.shape == (0, 2, 3)
    assert len(mixed.classes) == len(mixed.lambdas) == 0


# ---- Devices ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", BUDGETS)
def test_only_the_fixed_budget_reads_back_from_the_device(mode):
    batch, generator = make_batch([0, 0, 3, 4, 4, 4, 1], 9), generator_of(0)
    with Watch() as watch:
        hard_negatives(*batch, 0.2, generator, budget=mode)
    assert len(watch.waits) == (1 if mode == "fixed" else 0)


@pytest.mark.parametrize("mode", ["frequency", "equal"])
def test_a_device_without_values_and_without_float64(mode, monkeypatch):
    assert module._widest_float(torch.device("mps")) == torch.float32
    monkeypatch.setattr(module, "_widest_float", lambda device: torch.float32)
    inputs, labels, p = (tensor.to("meta") for tensor in make_batch([0, 0, 3, 1], 9))
    with Watch() as watch:
        mixed = hard_negatives(inputs.float(), labels, p.float(), 0.2, generator_of(0), budget=mode)
    assert all(tensor.device.type == "meta" for tensor in mixed)
    assert mixed.inputs.shape == inputs.shape
    assert ("meta", torch.float64) not in watch.results


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_mixtures_keep_type_and_shape_and_can_be_trained_on(dtype):
    batch = make_batch([0, 1, 1, 0], 2)
    inputs = torch.rand(4, 3, 8, 8, dtype=dtype, requires_grad=True)
    mixed = mix(batch._replace(inputs=inputs))
    assert (mixed.inputs.dtype, mixed.inputs.shape) == (dtype, inputs.shape)
    assert not mixed.inputs.requires_grad
    weights = torch.ones(2, requires_grad=True)
    (mixed.lambdas.sum() * weights[mixed.classes].sum()).backward()
    assert weights.grad.isfinite().all()


# ---- By hand ------------------------------------------------------------------------------------


def test_strong_negatives_then_weak_ones_then_as_many_as_needed():
    # 1/K = 0.25: samples 4 and 6 are strong, 5 is weak; the pool is samples 1 and 3.
    batch = [0, 0, 0, 0, 1, 1, 2, 2], [0.9, 0.2, 0.8, 0.3, 0.5, 0.25, 0.6, 0.1]
    assert pair_class_0(*batch, 4) == [(1, 6), (3, 4), (1, 4), (3, 6)]
    assert pair_class_0(*batch, 3) == [(1, 6), (3, 4), (1, 4)]
    assert pair_class_0(*batch, 5) == [(1, 6), (3, 4), (1, 5), (3, 6), (1, 4)]
    assert pair_class_0(*batch, 7)[:4] == [(1, 6), (3, 4), (1, 5), (3, 7)]


def test_a_larger_pool_and_then_negatives_among_themselves():
    batch = [0, 0, 0, 0, 1, 1], [0.4, 0.3, 0.2, 0.1, 0.6, 0.7]
    # A pool of 25 or 50 % is 3 and 2 and makes 4 pairs, 75 % is 3, 2, 1 and makes 6.
    assert {first for first, _ in pair_class_0(*batch, 5)} == {3, 2, 1}
    assert len(set(pair_class_0(*batch, 6))) == 6
    assert pair_class_0(*batch, 9)[6:] == [(4, 5), (5, 4), (4, 5)]
    # Each round among negatives pairs them at another distance; a single one is paired again.
    later = pair_class_0([0, 0, 1, 1, 1], [0.3, 0.2, 0.7, 0.6, 0.5], 14)[6:]
    assert later == [(3, 2), (4, 3), (2, 4), (4, 2), (2, 3), (3, 4), (3, 2), (4, 3)]
    assert pair_class_0([0, 0, 1], [0.3, 0.2, 0.5], 4) == [(1, 2), (0, 2), (1, 2), (0, 2)]


def test_a_single_positive_goes_round_with_a_third_of_the_budget():
    labels, values = [0, 1, 1, 1, 1, 1, 1], [0.5, 0.2, 0.1, 0.3, 0.6, 0.0, 0.05]
    # No two strong negatives: a third of 6 is two, then round after round.
    assert pair_class_0(labels, values, 6) == [(0, 4), (0, 3)] * 3
    assert pair_class_0(labels, values, 3) == [(0, 4)] * 3
    # A third of 12 is more than half of the negatives, and two are weak: all of them.
    assert {second for _, second in pair_class_0(labels, values, 12)} == {1, 2, 3, 4, 5, 6}
    weak = [0.5, 0.3, 0.4, 0.3, 0.1, 0.3, 0.26]  # five of them are weak, none is strong
    assert {second for _, second in pair_class_0(labels, weak, 12)} == {1, 2, 3, 5, 6}


def test_budgets_by_hand():
    counts = torch.tensor([8, 1, 0, 1])
    # exp(8/10) : exp(1/10) : exp(1/10) of 10 is 5.02 : 2.49 : 2.49.
    assert allocate_budget(counts, 10, "frequency", 24).tolist() == [5, 3, 0, 2]
    assert allocate_budget(counts, 10, "equal", 24).tolist() == [4, 3, 0, 3]
    assert allocate_budget(counts, 10, "fixed", 24).tolist() == [24, 24, 0, 24]
    assert allocate_budget(torch.tensor([0, 5]), 5, "fixed", 24).tolist() == [0, 0]
    assert [fixed_class_budget(n) for n in (1, 16, 17, 20, 48, 49, 64)] == [8, 8, 8, 10, 24, 24, 24]
    with pytest.raises(ValueError, match="'most'; choose one of frequency, equal, fixed"):
        allocate_budget(counts, 10, "most", 8)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=400).filter(any), modes)
def test_budgets_add_up_and_leave_no_class_out(counts, mode):
    budgets = allocate_budget(torch.tensor(counts), sum(counts), mode, 8).tolist()
    wanted = plain_budgets(counts, mode, 8)
    assert budgets == [wanted.get(k, 0) for k in range(len(counts))]
    if mode != "fixed":
        assert sum(budgets) == sum(counts)
        assert all((b > 0) == (n > 0) for b, n in zip(budgets, counts, strict=True))


@pytest.mark.parametrize("rho", [0.05, 0.2, 1.0, 3.0])
def test_draws_follow_the_beta_distribution(rho):
    draws = draw_beta(rho, 8000, generator_of(0)).numpy()
    low = draws[draws < 0.5]  # the other half rounds to 1 now and then when rho is small
    assert 0.48 < len(low) / len(draws) < 0.52
    outcome = scipy.stats.kstest(low, lambda x: 2 * scipy.stats.beta(rho, rho).cdf(x))
    assert outcome.pvalue > 0.01


def test_a_tiny_rho_picks_one_parent_or_the_other():
    draws = draw_beta(1e-6, 1000, generator_of(0))
    assert ((draws < 1e-9) | (draws > 1 - 1e-9)).all()
    assert 400 < (draws > 0.5).sum() < 600
