"""The pairing 'released' against a slow, plain restatement, by property, and worked out by hand."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ndcl_domainbed.hard_negatives import BUDGETS, PAIRINGS, allocate_budget, hard_negatives
from tests.hard_negatives.labels import shuffled_labels
from tests.hard_negatives.plain_released import plain_budgets, plain_selection
from tests.hard_negatives.plain_spread import (
    Batch,
    generator_of,
    make_batch,
    mix,
    pair_class_0,
)
from tests.losses.watching import Watch

CONFIDENCES = ("random", "random with ties", "certain", "no strong negative")


def make_confident(batch, confidence, k):
    """Return the batch with predictions in which some kinds of negatives are missing."""
    own = torch.nn.functional.one_hot(batch.labels, k).double()
    if confidence == "random with ties":
        return batch._replace(p=(batch.p * 4).round() / 4)
    if confidence == "certain":  # p[k] of the negatives is below 1/K
        return batch._replace(p=0.9 * own + 0.1 * batch.p / k)
    if confidence == "no strong negative":
        p = torch.where(batch.p > 1 / k, 1.5 / k, batch.p / k)
        return batch._replace(p=torch.where(own > 0, batch.p, p))
    return batch


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


@settings(deadline=None, derandomize=True, max_examples=40)
@given(batches(), modes, scales)
def test_parents_have_their_classes_and_a_class_has_its_budget_or_nothing(batch, mode, scale):
    mixed = mix_released(batch, budget=mode, scale=scale)
    assert (batch.labels[mixed.first] == mixed.classes).all()
    assert (batch.labels[mixed.second] != mixed.classes).all()
    assert (batch.labels[mixed.third] != mixed.classes).all()
    counts = torch.bincount(batch.labels, minlength=batch.p.shape[1])
    total = round(scale * len(batch.labels))
    arguments = (counts, len(batch.labels), mode, 24, total, PAIRINGS["released"])
    budgets = allocate_budget(*arguments).tolist()
    assert mode == "fixed" or sum(budgets) == total
    made = Counter(mixed.classes.tolist())
    for k, budget in enumerate(budgets):
        assert made[k] in (0, budget)
        assert made[k] == budget or counts[k] in (2, 3, 4) or counts[k] == len(batch.labels)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=400).filter(any), modes, scales)
def test_budgets_are_steps_of_rounded_running_sums(counts, mode, scale):
    total = round(scale * sum(counts))
    arguments = (torch.tensor(counts), sum(counts), mode, 8, total, PAIRINGS["released"])
    found = {k: b for k, b in enumerate(allocate_budget(*arguments).tolist()) if counts[k]}
    if len(found) > 1 or mode != "fixed":
        assert found == plain_budgets(counts, mode, 8, total)


def test_budgets_by_hand():
    # exp(8/10) : exp(1/10) : exp(1/10) of 10 is 5.02 : 2.49 : 2.49, and 5.02, 7.51, 10 in sum.
    arguments = (torch.tensor([8, 1, 0, 1]), 10, "frequency", 24)
    assert allocate_budget(*arguments, pairing=PAIRINGS["released"]).tolist() == [6, 2, 0, 2]
    # Three classes have 2/3 of a sample each: 0.67, 1.33, 2.
    arguments = (torch.tensor([1, 1, 1]), 3, "equal", 24, 2)
    assert allocate_budget(*arguments, PAIRINGS["released"]).tolist() == [1, 1, 0]


# ---- By hand ------------------------------------------------------------------------------------

EIGHT = [0.9, 0.2, 0.8, 0.3, 0.7, 0.75, 0.85, 0.95]
"""p[0] of eight samples of class 0: a pool of 25 % is the samples 1 and 3."""


def pair(labels, values, per_class):
    return pair_class_0(labels, values, per_class, pairing="released")


def test_strong_negatives_then_weak_ones_then_strong_ones_again():
    # 1/K = 0.25: samples 8 and 10 are strong, 9 is weak.
    batch = [0] * 8 + [1, 1, 2, 2], [*EIGHT, 0.5, 0.25, 0.6, 0.1]
    assert pair(*batch, 3) == [(1, 10), (1, 8), (3, 10)]
    assert pair(*batch, 4) == [(1, 10), (1, 8), (3, 10), (3, 8)]
    assert pair(*batch, 5) == [(1, 10), (1, 8), (1, 9), (3, 10), (3, 8)]
    assert pair(*batch, 7) == [(1, 10), (1, 8), (3, 10), (3, 8), (1, 10), (1, 8), (3, 10)]


def test_few_positives_are_mixed_only_where_no_negative_is_weak():
    labels, values = [0, 0, 0, 0, 1, 1, 2, 2], [0.9, 0.2, 0.8, 0.3, 0.25, 0.1, 0.2, 0.0]
    assert pair(labels, values, 8) == []
    values[4] = 0.15  # now no negative is weak: 75 % of the positives, and ceil(8 / 3) negatives
    three = [(1, 6), (1, 4), (1, 5), (3, 6), (3, 4), (3, 5), (2, 6), (2, 4)]
    assert pair(labels, values, 8) == three


def test_three_parents_in_later_rounds():
    """Of one class among eight images, in a space where each image is a direction."""
    labels = torch.tensor([0] * 5 + [1, 1, 1])
    p_0 = torch.tensor([0.1, 0.2, 0.9, 0.9, 0.9, 0.8, 0.7, 0.6], dtype=torch.float64)
    batch = Batch(torch.eye(8, dtype=torch.float64), labels, torch.stack([p_0, 1 - p_0], dim=1))
    batch.p[5:, 0] /= 2  # 1/K = 0.5: none is strong or weak, so the pool is 4 and reach is all
    mixed = mix_released(batch, budget="fixed", per_class=40)
    first_round, second, third = mixed.inputs[:12], mixed.inputs[12:24], mixed.inputs[24:36]
    weight = mixed.lambdas[0].item()
    assert (mixed.lambdas[:36] == weight).all()
    assert first_round[0].tolist() == pytest.approx([weight, 0, 0, 0, 0, 1 - weight, 0, 0])
    two, one = (1 - weight) ** 2, (1 - weight) * weight
    assert second[0].tolist() == pytest.approx([weight, 0, 0, 0, 0, two, one, 0])
    assert third[0].tolist() == pytest.approx([weight, 0, 0, 0, 0, two, 0, one])
    # With a single reached negative, rounds are plain copies.
    assert pair([0] * 8 + [1], [*EIGHT, 0.5], 5) == [(1, 8), (3, 8)] * 2 + [(1, 8)]


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
