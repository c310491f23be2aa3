"""Hard negatives against a slow, plain re-statement of the reading, and by property."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ndcl_domainbed import hard_negatives as module
from ndcl_domainbed.hard_negatives import BUDGETS, hard_negatives
from tests.losses.plain_selection import Batch, generator_of, make_batch, mix, plain_selection
from tests.losses.watching import Watch


@st.composite
def batches(draw, smallest_number_of_classes_present=1):
    k = draw(st.sampled_from([2, 3, 7, 12, 345]))
    present = draw(
        st.lists(
            st.integers(0, k - 1),
            min_size=smallest_number_of_classes_present,
            max_size=8,
            unique=True,
        )
    )
    sizes = draw(st.lists(st.integers(1, 12), min_size=len(present), max_size=len(present)))
    labels = [y for y, size in zip(present, sizes, strict=True) for _ in range(size)]
    seed = draw(st.integers(0, 10**6))
    order = torch.randperm(len(labels), generator=generator_of(seed))
    labels = torch.tensor(labels)[order].tolist()
    return make_batch(labels, k, seed, steps=draw(st.sampled_from([None, None, 4, 50])))


several_classes = batches(smallest_number_of_classes_present=2)
modes = st.sampled_from(BUDGETS)
per_class_budgets = st.integers(1, 40)
quick = settings(deadline=None, derandomize=True, max_examples=150)


@quick
@given(batches(), modes, per_class_budgets)
def test_selection_is_that_of_the_plain_loops(batch, mode, per_class):
    made = mix(batch, budget=mode, per_class=per_class)
    wanted = plain_selection(batch, mode, per_class)
    if not wanted:
        assert (made.classes == -1).all()
        return
    found = zip(made.classes.tolist(), made.first.tolist(), made.second.tolist(), strict=True)
    assert list(found) == [(one.k, one.first, one.second) for one in wanted]


@quick
@given(several_classes, modes, per_class_budgets)
def test_rounds_share_their_lambda_and_no_two_rounds_do(batch, mode, per_class):
    made = mix(batch, budget=mode, per_class=per_class)
    wanted = plain_selection(batch, mode, per_class)
    of_round: dict[tuple[int, int], set[float]] = {}
    for one, value in zip(wanted, made.lambdas.tolist(), strict=True):
        of_round.setdefault(one.round, set()).add(value)
    assert all(len(values) == 1 for values in of_round.values())
    assert len(set.union(*of_round.values())) == len(of_round)


@quick
@given(several_classes, modes)
def test_a_lambda_per_pair(batch, mode):
    made = mix(batch, budget=mode, per_pair=True)
    assert len(made.lambdas.unique()) == len(made.lambdas)
    shared = mix(batch, budget=mode)
    assert made.first.equal(shared.first)
    assert made.second.equal(shared.second)


@quick
@given(batches(), modes, per_class_budgets)
def test_inputs_are_the_mixtures_of_the_parents(batch, mode, per_class):
    made = mix(batch, budget=mode, per_class=per_class)
    weights = made.lambdas[:, None, None]
    assert ((made.lambdas >= 0) & (made.lambdas <= 1)).all()
    wanted = weights * batch.inputs[made.first] + (1 - weights) * batch.inputs[made.second]
    torch.testing.assert_close(made.inputs, wanted)


@quick
@given(several_classes, modes, per_class_budgets)
def test_budgets_are_met_exactly(batch, mode, per_class):
    made = mix(batch, budget=mode, per_class=per_class)
    present = set(batch.labels.tolist())
    if mode == "fixed":
        assert Counter(made.classes.tolist()) == dict.fromkeys(present, per_class)
    else:
        assert len(made.inputs) == len(batch.labels)
        assert set(made.classes.tolist()) == present


@quick
@given(several_classes, modes, per_class_budgets)
def test_a_positive_and_a_negative_parent_or_two_negatives(batch, mode, per_class):
    made = mix(batch, budget=mode, per_class=per_class)
    of_first, of_second = batch.labels[made.first], batch.labels[made.second]
    assert (of_second != made.classes).all()
    diverse = of_first != made.classes
    assert (made.first != made.second).all()
    sizes = torch.bincount(batch.labels, minlength=batch.p.shape[1])
    assert (sizes[made.classes[diverse]] > 1).all()


@quick
@given(several_classes, modes, per_class_budgets)
def test_parents_are_the_most_uncertain_and_the_most_confident(batch, mode, per_class):
    made = mix(batch, budget=mode, per_class=per_class)
    for k in set(batch.labels.tolist()):
        own = made.classes == k
        positives = set(made.first[own & (batch.labels[made.first] == k)].tolist())
        negatives = set(made.second[own].tolist())
        p = batch.p[:, k]
        unused = set((batch.labels == k).nonzero().flatten().tolist()) - positives
        assert max(p[i] for i in positives) <= min((p[i] for i in unused), default=math.inf)
        unused = set((batch.labels != k).nonzero().flatten().tolist()) - negatives
        assert min(p[i] for i in negatives) >= max((p[i] for i in unused), default=-math.inf)


@quick
@given(several_classes, st.booleans())
def test_the_generator_decides(batch, per_pair):
    one, again, other = (mix(batch, seed, per_pair=per_pair) for seed in (3, 3, 4))
    for a, b in zip(one, again, strict=True):
        assert a.equal(b)
    assert one.lambdas.ne(other.lambdas).all()


def test_draws_depend_on_the_size_of_the_batch_alone():
    states = []
    for labels in ([0, 1, 2, 3], [0, 0, 0, 1], [2, 2, 2, 2]):
        generator = generator_of(5)
        hard_negatives(*make_batch(labels, 4), 0.2, generator)
        states.append(generator.get_state())
    assert states[0].equal(states[1])
    assert states[0].equal(states[2])


# ---- One class, and devices ---------------------------------------------------------------------


@pytest.mark.parametrize("labels", [[1], [1, 1, 1, 1]])
def test_one_class_has_no_negatives(labels):
    batch = make_batch(labels, 3)
    for mode in ("frequency", "equal"):
        made = mix(batch, budget=mode)
        assert made.classes.tolist() == [-1] * len(labels)
        assert made.inputs.shape == batch.inputs.shape
        assert made.inputs.isfinite().all()
    made = mix(batch, budget="fixed")
    assert made.inputs.shape == (0, 2, 3)
    assert len(made.classes) == len(made.lambdas) == 0


@pytest.mark.parametrize("mode", BUDGETS)
def test_only_the_fixed_budget_reads_back_from_the_device(mode):
    batch = make_batch([0, 0, 3, 4, 4, 4, 1], 9)
    generator = generator_of(0)
    with Watch() as watch:
        hard_negatives(*batch, 0.2, generator, budget=mode)
    assert len(watch.waits) == (1 if mode == "fixed" else 0)


@pytest.mark.parametrize("per_pair", [False, True])
@pytest.mark.parametrize("mode", ["frequency", "equal"])
def test_it_runs_where_tensors_have_no_values_and_on_no_other_device(mode, per_pair):
    batch = [tensor.to("meta") for tensor in make_batch([0, 0, 3, 1], 9)]
    made = hard_negatives(*batch, 0.2, generator_of(0), budget=mode, per_pair=per_pair)
    assert all(tensor.device.type == "meta" for tensor in made)
    assert made.inputs.shape == batch[0].shape


@pytest.mark.parametrize("mode", ["frequency", "equal"])
def test_a_device_without_float64_is_given_none(mode, monkeypatch):
    assert module._widest_float(torch.device("mps")) == torch.float32
    monkeypatch.setattr(module, "_widest_float", lambda device: torch.float32)
    inputs, labels, p = (tensor.to("meta") for tensor in make_batch([0, 0, 3, 1], 9))
    batch = inputs.float(), labels, p.float()
    with Watch() as watch:
        hard_negatives(*batch, 0.2, generator_of(0), budget=mode)
    assert "meta" in {device for device, _ in watch.made}
    assert ("meta", torch.float64) not in watch.made


def test_what_is_made_can_be_trained_on():
    batch = make_batch([0, 0, 3, 1], 9)
    made = mix(batch)
    assert not any(tensor.is_inference() for tensor in made)
    weights = torch.ones(9, requires_grad=True)
    (made.lambdas.sum() * weights[made.classes].sum() * weights[made.first].sum()).backward()
    assert weights.grad.isfinite().all()


@pytest.mark.parametrize("mode", BUDGETS)
def test_of_an_empty_batch_nothing_is_made(mode):
    empty = Batch(torch.rand(0, 3), torch.empty(0, dtype=torch.int64), torch.rand(0, 4))
    assert [len(tensor) for tensor in mix(empty, budget=mode)] == [0] * 5


@pytest.mark.parametrize("k", [7, 345])
def test_no_tensor_grows_with_classes_times_batch_squared(k):
    n = 320
    labels = torch.where(torch.arange(n) % 10 < 9, 0, torch.arange(n) % k)
    p = torch.rand(n, k, generator=generator_of(0)).softmax(dim=1)
    generator = generator_of(0)
    with Watch() as watch:
        hard_negatives(torch.rand(n, 5), labels, p, 0.2, generator)
    assert watch.largest <= 8 * n * max(n, k)


def test_the_number_of_operators_does_not_grow_with_batch_or_classes():
    counts = []
    for n, k in [(20, 7), (96, 10), (96, 65), (96, 345), (200, 345)]:
        batch = make_batch([i % k for i in range(n)], k)
        with Watch() as watch:
            mix(batch)
        counts.append(watch.operators)
    assert len({counts[place] for place in (0, 1, 2)}) == 1
    assert max(counts) <= min(counts) + 5  # more classes than samples: those present come first


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inputs_keep_their_type_and_shape(dtype):
    batch = make_batch([0, 1, 1, 0], 2)
    inputs = torch.rand(4, 3, 8, 8, dtype=dtype, requires_grad=True)
    made = mix(batch._replace(inputs=inputs))
    assert made.inputs.dtype == dtype
    assert made.inputs.shape == inputs.shape
    assert not made.inputs.requires_grad


def test_predictions_of_zero_do_not_confuse_positives_and_negatives():
    p = torch.zeros(5, 3)
    made = mix(Batch(torch.rand(5, 1), torch.tensor([0, 1, 0, 1, 2]), p))
    labels = torch.tensor([0, 1, 0, 1, 2])
    assert (labels[made.first] == made.classes).all()
    assert (labels[made.second] != made.classes).all()
