"""Terms of the bound, on posteriors whose terms are known."""

import numpy as np
import pytest

from imbalance_splits.shots import group_accuracies
from ndcl_domainbed.diagnostics.checks import bound


@pytest.fixture
def rng():
    return np.random.RandomState(0)


def test_margins_by_hand():
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    np.testing.assert_allclose(bound.prediction_margins(p, np.array([0, 1])), [0.5, -0.3])


def test_margin_loss_at_zero_is_one_minus_the_accuracy_of_the_group(rng):
    p, labels = rng.dirichlet(np.ones(4), 200), rng.choice(4, 200, p=[0.6, 0.3, 0.08, 0.02])
    margins = bound.prediction_margins(p, labels)
    hits = p.argmax(axis=1) == labels
    correct, total = np.bincount(labels[hits], minlength=4), np.bincount(labels, minlength=4)
    known = group_accuracies(correct, total, ["many", "many", "few", "few"])
    for group, members in (("many", [0, 1]), ("few", [2, 3])):
        found = bound.margin_loss(margins, labels, np.array(members), np.array([0.0]))
        assert found[0] == pytest.approx(1 - known[group])


def test_margin_loss_grows_from_none_to_all():
    margins, labels = np.array([-0.5, 0.2, 0.9]), np.array([0, 0, 1])
    deltas = np.array([-1, -0.5, 0.2, 0.9, 1])
    found = bound.margin_loss(margins, labels, np.array([0, 1]), deltas)
    np.testing.assert_allclose(found, [0, 0.25, 0.5, 1, 1])
    assert np.isnan(bound.margin_loss(margins, labels, np.array([5]), deltas)).all()


def test_discrepancy_is_the_distance_of_the_means_of_shared_classes():
    one, labels = np.array([[1.0, 0], [0.6, 0.4], [0, 1], [0, 1]]), np.array([0, 0, 1, 1])
    other, others = np.array([[0.5, 0.5], [0.5, 0.5], [0, 1]]), np.array([0, 0, 1])
    found = bound.posterior_discrepancy(one, labels, other, others)
    assert found == pytest.approx(0.3)  # class 1 has one image in the other domain: left out
    assert np.isnan(bound.posterior_discrepancy(one[:2], labels[:2], other[2:], others[2:]))
    assert bound.posterior_discrepancy(one, labels * 0, 1 - one, labels * 0) == pytest.approx(0.2)


def test_domains_without_a_shift_differ_as_much_as_by_chance(rng):
    labels, others = np.tile(np.arange(3), 10), np.tile(np.arange(3), 15)
    same = rng.dirichlet(np.ones(3), 30), rng.dirichlet(np.ones(3), 45)
    found = bound.posterior_discrepancy(same[0], labels, same[1], others)
    chance = bound.chance_discrepancy(same[0], labels, same[1], others, seed=0)
    assert found > 0.02
    assert found == pytest.approx(chance, rel=0.5)
    shifted = 0.2 * same[1] + 0.8 * np.eye(3)[0]
    far = bound.posterior_discrepancy(same[0], labels, shifted, others)
    assert far > 2 * bound.chance_discrepancy(same[0], labels, shifted, others, seed=0)


def test_images_are_drawn_evenly_over_classes():
    labels = np.repeat([0, 1, 2], [100, 3, 20])
    drawn = bound.draw_evenly(labels, 23, seed=0)
    np.testing.assert_array_equal(np.bincount(labels[drawn]), [10, 3, 10])
    assert len(set(drawn.tolist())) == 23
    assert len(bound.draw_evenly(labels, 1000, seed=0)) == 123


def test_matched_domains_have_the_same_classes():
    labels, others = np.repeat([0, 1, 2], [5, 2, 7]), np.repeat([0, 1, 3], [3, 9, 4])
    mine, theirs = bound.match_classes(labels, others, seed=0)
    np.testing.assert_array_equal(labels[mine], [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(others[theirs], labels[mine])
    assert len(set(mine.tolist())) == 5


@pytest.mark.parametrize(("accuracy", "distance"), [(1, 2), (0.75, 1), (0.5, 0), (0.4, 0)])
def test_proxy_distance(accuracy, distance):
    assert bound.proxy_distance(accuracy) == pytest.approx(distance)
