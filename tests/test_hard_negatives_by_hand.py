"""Hard negatives in cases small enough to work out by hand, budgets, and the mixing weights."""

from __future__ import annotations

import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ndcl_domainbed.hard_negatives import BUDGETS, beta_draws, class_budgets, fixed_class_budget
from tests.losses.plain_selection import Batch, generator_of, mix, plain_budgets


def with_confidence_in_class_0(labels, values, k=4):
    """A batch in which p[i,0] are the ``values``; the rest of the mass is spread evenly."""
    p0 = torch.tensor(values, dtype=torch.float64)[:, None]
    p = torch.cat([p0, ((1 - p0) / (k - 1)).expand(-1, k - 1)], dim=1)
    inputs = torch.arange(len(labels), dtype=torch.float64)[:, None]
    return Batch(inputs, torch.tensor(labels), p)


def parents_of_class_0(batch, per_class):
    made = mix(batch, budget="fixed", per_class=per_class)
    own = made.classes == 0
    return list(zip(made.first[own].tolist(), made.second[own].tolist(), strict=True))


def test_strong_negatives_are_used_alone_if_they_fill_the_budget():
    # 1/K = 0.25: samples 4 and 6 are strong, 5 is weak; the pool is samples 1 and 3.
    batch = with_confidence_in_class_0(
        [0, 0, 0, 0, 1, 1, 2, 2], [0.9, 0.2, 0.8, 0.3, 0.5, 0.25, 0.6, 0.1]
    )
    assert parents_of_class_0(batch, 4) == [(1, 6), (3, 4), (1, 4), (3, 6)]
    assert parents_of_class_0(batch, 3) == [(1, 6), (3, 4), (1, 4)]


def test_weak_negatives_join_if_strong_ones_do_not_fill_it_and_then_as_many_as_needed():
    batch = with_confidence_in_class_0(
        [0, 0, 0, 0, 1, 1, 2, 2], [0.9, 0.2, 0.8, 0.3, 0.5, 0.25, 0.6, 0.1]
    )
    assert parents_of_class_0(batch, 5) == [(1, 6), (3, 4), (1, 5), (3, 6), (1, 4)]
    assert parents_of_class_0(batch, 7)[:4] == [(1, 6), (3, 4), (1, 5), (3, 7)]


def test_a_larger_pool_and_then_negatives_among_themselves():
    batch = with_confidence_in_class_0([0, 0, 0, 0, 1, 1], [0.4, 0.3, 0.2, 0.1, 0.6, 0.7])
    # A pool of 25 or 50 % is 3 and 2 and makes 4 pairs, 75 % is 3, 2, 1 and makes 6.
    assert {first for first, _ in parents_of_class_0(batch, 5)} == {3, 2, 1}
    assert len(set(parents_of_class_0(batch, 6))) == 6
    assert parents_of_class_0(batch, 9)[6:] == [(4, 5), (5, 4), (4, 5)]


def test_a_single_positive_goes_round_with_a_third_of_the_budget():
    batch = with_confidence_in_class_0([0, 1, 1, 1, 1, 1, 1], [0.5, 0.2, 0.1, 0.3, 0.6, 0.0, 0.05])
    # No two strong negatives: a third of 6 is two, then round after round.
    assert parents_of_class_0(batch, 6) == [(0, 4), (0, 3)] * 3
    assert parents_of_class_0(batch, 3) == [(0, 4)] * 3
    # A third of 12 is more than half of the negatives, and two are weak: all of them.
    assert {second for _, second in parents_of_class_0(batch, 12)} == {1, 2, 3, 4, 5, 6}


def test_a_single_positive_takes_the_weak_negatives_if_they_give_the_third():
    batch = with_confidence_in_class_0([0, 1, 1, 1, 1, 1, 1], [0.5, 0.3, 0.4, 0.3, 0.1, 0.3, 0.26])
    # A third of 12 is more than half of the negatives; five of them are weak, none is strong.
    assert {second for _, second in parents_of_class_0(batch, 12)} == {1, 2, 3, 5, 6}


def test_each_round_among_negatives_pairs_them_at_another_distance():
    batch = with_confidence_in_class_0([0, 0, 1, 1, 1], [0.3, 0.2, 0.7, 0.6, 0.5])
    among_negatives = parents_of_class_0(batch, 14)[6:]
    assert among_negatives[:3] == [(3, 2), (4, 3), (2, 4)]
    assert among_negatives[3:6] == [(4, 2), (2, 3), (3, 4)]
    assert among_negatives[6:] == [(3, 2), (4, 3)]


def test_a_single_negative_is_paired_again():
    batch = with_confidence_in_class_0([0, 0, 1], [0.3, 0.2, 0.5])
    assert parents_of_class_0(batch, 5) == [(1, 2), (0, 2), (1, 2), (0, 2), (1, 2)]


def test_rare_classes_get_nearly_as_many_as_frequent_ones():
    # exp(8/10) : exp(1/10) : exp(1/10) of 10 is 5.02 : 2.49 : 2.49.
    budgets = class_budgets(torch.tensor([8, 1, 0, 1]), 10, "frequency", 24)
    assert budgets.tolist() == [5, 3, 0, 2]


def test_equal_and_fixed_budgets():
    counts = torch.tensor([8, 1, 0, 1])
    assert class_budgets(counts, 10, "equal", 24).tolist() == [4, 3, 0, 3]
    assert class_budgets(counts, 10, "fixed", 24).tolist() == [24, 24, 0, 24]
    assert class_budgets(torch.tensor([0, 5]), 5, "fixed", 24).tolist() == [0, 0]


@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=400).filter(any), st.sampled_from(BUDGETS))
def test_every_class_present_gets_something_and_the_sum_is_right(counts, mode):
    budgets = class_budgets(torch.tensor(counts), sum(counts), mode, 8).tolist()
    wanted = plain_budgets(counts, mode, 8)
    assert budgets == [wanted.get(k, 0) for k in range(len(counts))]
    if mode != "fixed":
        assert sum(budgets) == sum(counts)
        assert all((b > 0) == (n > 0) for b, n in zip(budgets, counts, strict=True))


def test_half_of_a_domain_within_8_and_24():
    assert [fixed_class_budget(n) for n in (1, 16, 17, 20, 48, 49, 64)] == [8, 8, 8, 10, 24, 24, 24]


def test_an_unknown_budget_is_an_error():
    with pytest.raises(ValueError, match="'most'; there are: frequency, equal, fixed"):
        class_budgets(torch.tensor([1, 2]), 3, "most", 8)


@pytest.mark.parametrize("rho", [0.05, 0.2, 1.0, 3.0])
def test_draws_follow_the_beta_distribution(rho):
    draws = beta_draws(rho, 8000, generator_of(0)).numpy()
    low = draws[draws < 0.5]  # the other half rounds to 1 now and then when rho is small
    assert 0.48 < len(low) / len(draws) < 0.52
    outcome = scipy.stats.kstest(low, lambda x: 2 * scipy.stats.beta(rho, rho).cdf(x))
    assert outcome.pvalue > 0.01


def test_a_tiny_rho_picks_one_parent_or_the_other():
    draws = beta_draws(1e-6, 1000, generator_of(0))
    assert ((draws < 1e-9) | (draws > 1 - 1e-9)).all()
    assert 400 < (draws > 0.5).sum() < 600
