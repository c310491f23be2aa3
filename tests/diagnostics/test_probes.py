"""Linear probes of groups that are separable, alike, or planted beside each other."""

from __future__ import annotations

import numpy as np
import pytest

from imbalance_splits.errors import InputError
from ndcl_domainbed.diagnostics import probes


@pytest.fixture
def rng():
    return np.random.RandomState(0)


def test_separable_groups(rng):
    groups = np.repeat([0, 1], 60)
    vectors = rng.randn(120, 5) + 10 * groups[:, None]
    found = probes.probe_accuracy(vectors, groups, probes.stratified_folds(groups, 0))
    assert (found.mean, found.error) == (1, 0)
    assert probes.proxy_distance(found.mean) == 2


def test_groups_that_are_alike_are_at_chance_even_in_many_dimensions(rng):
    groups = np.repeat([0, 1], 100)
    vectors = rng.randn(200, 300)
    found = probes.probe_accuracy(vectors, groups, probes.stratified_folds(groups, 0))
    assert abs(found.mean - probes.CHANCE) < 3 * found.error + 0.02
    assert probes.proxy_distance(found.mean) < 0.4


def test_accuracy_is_the_known_one_of_two_normal_distributions(rng):
    """At a distance of 2 standard deviations, the best line is right in 84.1 %."""
    groups = np.repeat([0, 1], 2000)
    vectors = rng.randn(4000, 2)
    vectors[groups == 1, 0] += 2
    found = probes.probe_accuracy(vectors, groups, probes.stratified_folds(groups, 0))
    assert found.mean == pytest.approx(0.841, abs=0.02)


def test_a_rare_group_counts_as_much_as_a_common_one(rng):
    groups = np.repeat([0, 1], [400, 20])
    found = probes.probe_accuracy(
        rng.randn(420, 2), groups, probes.stratified_folds(groups, 0)
    )  # always saying 0 would be right in 95 %
    assert found.mean == pytest.approx(0.5, abs=0.2)


def test_images_on_both_sides_would_be_recognised_but_not_across_folds(rng):
    """Every vector occurs five times: only folds that keep copies together are honest."""
    originals, groups = rng.randn(40, 200), rng.randint(2, size=40)
    vectors, many = np.repeat(originals, 5, axis=0), np.repeat(groups, 5)
    together = np.repeat(np.arange(40) % 5, 5)
    apart = np.tile(np.arange(5), 40)
    assert probes.probe_accuracy(vectors, many, apart).mean == 1
    assert probes.probe_accuracy(vectors, many, together).mean < 0.75


def test_folds_deal_every_group_out_evenly():
    groups = np.repeat([0, 1], [23, 10])
    folds = probes.stratified_folds(groups, 1)
    for group in (0, 1):
        sizes = np.bincount(folds[groups == group], minlength=5)
        assert sizes.max() - sizes.min() <= 1
    assert not np.array_equal(folds, probes.stratified_folds(groups, 2))


def test_a_fold_without_a_group_is_left_out(rng):
    groups, folds = np.repeat([0, 1], 30), np.tile(np.arange(3), 20)
    vectors = rng.randn(60, 2) + 10 * groups[:, None]
    groups[folds == 0] = 0
    vectors[folds == 0] = 0
    assert probes.probe_accuracy(vectors, groups, folds).mean == 1
    assert np.isnan(probes.probe_accuracy(vectors, np.zeros(60), folds).mean)


@pytest.mark.parametrize(("accuracy", "distance"), [(1, 2), (0.75, 1), (0.5, 0), (0.4, 0)])
def test_proxy_distance(accuracy, distance):
    assert probes.proxy_distance(accuracy) == pytest.approx(distance)


def test_plane_keeps_clusters_apart(rng):
    groups = np.repeat([0, 1], 30)
    plane = probes.tsne_plane(rng.randn(60, 8) + 20 * groups[:, None], seed=0)
    centres = [plane[groups == group].mean(axis=0) for group in (0, 1)]
    radius = max(plane[groups == group].std() for group in (0, 1))
    assert plane.shape == (60, 2)
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * radius


def test_missing_scikit_learn_is_named(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(probes.importlib, "import_module", missing)
    with pytest.raises(InputError, match=r"ndcl-domainbed\[diagnose\]"):
        probes.require_scikit_learn("manifold")
