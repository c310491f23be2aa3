"""Rank correlations that were planted, and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ndcl_domainbed.diagnostics.correlation import rank_correlation, share_below, spearman


def test_equals_scipy_with_ties():
    rng = np.random.RandomState(0)
    x, y = rng.randint(5, size=(2, 80))
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)


def test_any_increasing_relation_is_a_perfect_one():
    x = np.random.RandomState(0).rand(50)
    found = rank_correlation(x, np.exp(5 * x), seed=0)
    assert (found.rho, found.low, found.high) == pytest.approx((1, 1, 1))
    assert rank_correlation(x, -(x**3), seed=0).rho == pytest.approx(-1)


def test_planted_correlation_lies_in_its_interval_and_none_does_not_leave_zero():
    rng = np.random.RandomState(0)
    x, noise = rng.randn(2, 400)
    planted = rank_correlation(x, 0.6 * x + 0.8 * noise, seed=0)
    known = 6 / np.pi * np.arcsin(0.6 / 2)  # Spearman's ρ of normal variables
    assert planted.low < known < planted.high
    assert planted.low > 0.45
    none = rank_correlation(x, noise, seed=0)
    assert none.low < 0 < none.high


def test_interval_is_as_wide_as_the_standard_error_says():
    rng = np.random.RandomState(1)
    found = rank_correlation(*rng.randn(2, 400), seed=0)
    assert found.high - found.low == pytest.approx(2 * 1.96 / np.sqrt(400), rel=0.15)


def test_missing_values_are_left_out_and_seeds_decide():
    x = np.array([1.0, 2, 3, 4, np.nan, 6])
    y = np.array([1.0, 2, 3, np.nan, 5, 7])
    found = rank_correlation(x, y, seed=3)
    assert (found.rho, found.n) == (1, 4)
    assert rank_correlation(x, y, seed=3) == found


@pytest.mark.parametrize("y", [np.array([1.0, 1, 1, 1]), np.array([1.0, np.nan, np.nan, 2])])
def test_a_constant_or_too_few_images_have_no_correlation(y):
    found = rank_correlation(np.arange(4.0), y, seed=0)
    assert np.isnan(found.rho)


def test_share_below_counts_pairs():
    x, y = np.array([1.0, 3, 3]), np.array([2.0, 3])
    pairs = [(a < b) + 0.5 * (a == b) for a in x for b in y]
    assert share_below(x, y) == pytest.approx(np.mean(pairs))
    assert share_below(np.zeros(3), np.ones(4)) == 1
