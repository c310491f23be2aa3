"""The pairing 'released' against a slow, plain restatement, by property, and worked out by hand."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ndcl_domainbed.hard_negatives import BUDGETS, hard_negatives
from tests.hard_negatives.labels import CONFIDENCES, make_confident, shuffled_labels
from tests.hard_negatives.plain_released import plain_selection
from tests.hard_negatives.plain_spread import (
    generator_of,
    make_batch,
    mix,
    pair_class_0,
)
from tests.losses.watching import Watch


@st.composite
def batches(draw):
    labels, k, seed = draw(shuffled_labels([2, 3, 7, 65, 345], largest=24))
    return make_confident(make_batch(labels, k, seed), draw(st.sampled_from(CONFIDENCES)), k)


modes = st.sampled_from(BUDGETS)
scales = st.sampled_from([1.0, 1.5, 0.3])


def mix_released(batch, **options):
    return mix(batch, pairing="released", **options)


def assert_selection_is_the_plain_one(batch, mode, per_class=24, scale=1.0):
    mixed = mix_released(batch, budget=mode, per_class=per_class, scale=scale)
    wanted = plain_selection(batch, mode, per_class, scale)
    columns = (mixed.classes, mixed.first, mixed.second, mixed.third)
    found = zip(*(column.tolist() for column in columns), strict=True)
    assert list(found) == [one[:4] for one in wanted]
    shared = {}
    for one, value in zip(wanted, mixed.lambdas.tolist(), strict=True):
        shared.setdefault(one.weight, set()).add(value)
    assert all(len(values) == 1 for values in shared.values())
    assert len(set().union(*shared.values())) == len(shared)
    x, weights = batch.inputs, mixed.lambdas[:, None, None]
    rest = weights * x[mixed.third] + (1 - weights) * x[mixed.second]
    torch.testing.assert_close(mixed.inputs, weights * x[mixed.first] + (1 - weights) * rest)
    return wanted


@settings(deadline=None, derandomize=True, max_examples=80)
@given(batches(), modes, st.integers(1, 40), scales)
def test_selection_weights_and_mixtures_are_those_of_the_plain_loops(batch, mode, per_class, scale):
    assert_selection_is_the_plain_one(batch, mode, per_class, scale)


@pytest.mark.parametrize("k", [7, 65, 345])
@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_whole_batches_of_three_domains(k, confidence):
    labels = torch.randint(k, (96,), generator=generator_of(k)).tolist()
    batch = make_confident(make_batch(labels, k), confidence, k)
    for mode in ("frequency", "equal"):
        made = Counter(one.k for one in assert_selection_is_the_plain_one(batch, mode))
        if confidence == "certain":  # only then does every class with a budget have pairs
            assert made.total() == 96
        singles = {y for y in labels if labels.count(y) == 1}
        assert singles <= set(made) or k == 345
    assert_selection_is_the_plain_one(batch, "fixed", 16)
    assert_selection_is_the_plain_one(batch, "equal", scale=0.1)  # many classes end with none


# ---- By hand ------------------------------------------------------------------------------------


def pair(labels, values, per_class):
    return pair_class_0(labels, values, per_class, pairing="released")


def test_a_single_positive_with_strong_ones_half_of_all_weak_ones_or_all():
    labels, values = [0, 1, 1, 1, 1, 1, 1], [0.5, 0.2, 0.1, 0.6, 0.7, 0.0, 0.05]
    assert pair(labels, values, 6) == [(0, 4), (0, 3)] * 3  # two strong ones are a third
    assert pair(labels, values, 7) == [(0, 4), (0, 3), (0, 1)] * 2 + [(0, 4)]  # half of all is
    assert pair(labels, values, 10) == [(0, 4), (0, 3)] * 5  # neither is: the weak ones
    values[3:5] = [0.24, 0.22]
    assert [second for _, second in pair(labels, values, 10)] == [3, 4, 1, 2, 6, 5, 3, 4, 1, 2]


# ---- Cases without hard negatives, draws and devices --------------------------------------------


@pytest.mark.parametrize("mode", BUDGETS)
@pytest.mark.parametrize("labels", [[1], [1, 1, 1, 1], [0, 0, 1, 1]])
def test_there_may_be_no_hard_negatives(labels, mode):
    batch = make_batch(labels, 3)
    batch.p.fill_(1 / 3)  # all negatives are weak, and a quarter of two is a single sample
    mixed = mix_released(batch, budget=mode)
    assert mixed.inputs.shape == (0, 2, 3)
    assert {len(column) for column in mixed} == {0}


def test_the_generator_decides_and_a_lambda_per_pair_changes_no_pair():
    batch = make_batch([0] * 9 + [1] * 7 + [2, 3], 4)
    shared, mixed = mix_released(batch), mix_released(batch, per_pair=True)
    assert len(mixed.lambdas.unique()) == len(mixed.lambdas)
    for name in ("classes", "first", "second", "third"):
        assert getattr(mixed, name).equal(getattr(shared, name))
    assert all(one.equal(other) for one, other in zip(shared, mix_released(batch), strict=True))
    assert mix_released(batch, seed=1).lambdas.ne(shared.lambdas).all()


@pytest.mark.parametrize("mode", BUDGETS)
def test_one_number_is_read_back_from_the_device(mode):
    batch, generator = make_batch([0, 0, 3, 4, 4, 4, 1], 9), generator_of(0)
    with Watch() as watch:
        hard_negatives(*batch, 0.2, generator, pairing="released", budget=mode)
    assert len(watch.waits) == 1


def test_an_unknown_pairing_is_an_error():
    with pytest.raises(ValueError, match="'random'; choose one of spread, released"):
        mix(make_batch([0, 1], 2), pairing="random")
