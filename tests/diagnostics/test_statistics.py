"""Rank correlations and linear probes of what was planted."""

import numpy as np
import pytest
from scipy import stats

from ndcl_domainbed.diagnostics.statistics import (
    CHANCE,
    probe_accuracy,
    rank_correlation,
    spearman,
    stratified_folds,
)


def test_equals_scipy_with_ties():
    x, y = np.random.RandomState(0).randint(5, size=(2, 80))
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)


def test_any_increasing_relation_is_a_perfect_one():
    x = np.random.RandomState(0).rand(50)
    found = rank_correlation(x, np.exp(5 * x), seed=0)
    assert (found.rho, found.low, found.high) == pytest.approx((1, 1, 1))
    assert rank_correlation(x, -(x**3), seed=0).rho == pytest.approx(-1)


def test_the_interval_holds_the_planted_correlation_and_is_as_wide_as_the_standard_error_says():
    x, noise = np.random.RandomState(0).randn(2, 400)
    planted = rank_correlation(x, 0.6 * x + 0.8 * noise, seed=0)
    known = 6 / np.pi * np.arcsin(0.6 / 2)  # Spearman's ρ of normal variables
    assert 0.45 < planted.low < known < planted.high
    none = rank_correlation(x, noise, seed=0)
    assert none.low < 0 < none.high
    assert none.high - none.low == pytest.approx(2 * 1.96 / np.sqrt(400), rel=0.15)


def test_missing_values_are_left_out():
    x = np.array([1.0, 2, 3, 4, np.nan, 6])
    found = rank_correlation(x, np.array([1.0, 2, 3, np.nan, 5, 7]), seed=3)
    assert (found.rho, found.n) == (1, 4)


@pytest.mark.parametrize("y", [np.array([1.0, 1, 1, 1]), np.array([1.0, np.nan, np.nan, 2])])
def test_a_constant_or_too_few_images_have_no_correlation(y):
    assert np.isnan(rank_correlation(np.arange(4.0), y, seed=0).rho)


@pytest.fixture
def rng():
    return np.random.RandomState(0)


def test_groups_that_are_alike_are_at_chance_even_in_many_dimensions(rng):
    groups = np.repeat([0, 1], 100)
    found = probe_accuracy(rng.randn(200, 300), groups, stratified_folds(groups, 0))
    assert abs(found.mean - CHANCE) < 3 * found.error + 0.02


def test_accuracy_is_the_known_one_of_two_normal_distributions(rng):
    """At a distance of 2 standard deviations, the best line is right in 84.1 %.

    One group is rare: always naming the other would be right in 95 %, and counts as one half.
    """
    groups = np.repeat([0, 1], [4000, 200])
    vectors = rng.randn(4200, 2)
    vectors[groups == 1, 0] += 2
    found = probe_accuracy(vectors, groups, stratified_folds(groups, 0))
    assert found.mean == pytest.approx(0.841, abs=0.03)


def test_copies_of_an_image_are_recognized_unless_they_are_in_one_fold(rng):
    originals, groups = rng.randn(40, 200), rng.randint(2, size=40)
    vectors, many = np.repeat(originals, 5, axis=0), np.repeat(groups, 5)
    assert probe_accuracy(vectors, many, np.tile(np.arange(5), 40)).mean == 1
    assert probe_accuracy(vectors, many, np.repeat(np.arange(40) % 5, 5)).mean < 0.75


def test_folds_deal_every_group_out_evenly():
    groups = np.repeat([0, 1], [23, 10])
    folds = stratified_folds(groups, 1)
    for group in (0, 1):
        sizes = np.bincount(folds[groups == group], minlength=5)
        assert sizes.max() - sizes.min() <= 1
    assert not np.array_equal(folds, stratified_folds(groups, 2))


def test_a_fold_without_a_group_is_left_out(rng):
    groups, folds = np.repeat([0, 1], 30), np.tile(np.arange(3), 20)
    vectors = rng.randn(60, 2) + 10 * groups[:, None]
    groups[folds == 0] = 0
    vectors[folds == 0] = 0
    assert probe_accuracy(vectors, groups, folds) == (1, 0)
    assert np.isnan(probe_accuracy(vectors, np.zeros(60), folds).mean)
