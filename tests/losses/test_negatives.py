"""Negatives-dominant contrast and its amplification factor."""

import math

import pytest
import torch

from ndcl_domainbed.losses import amplification_factor, negatives_contrast
from tests.losses.plain import BATCHES, make_batch, plain_sums


def at_degrees(*degrees):
    """Unit vectors of the plane."""
    radians = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([radians.cos(), radians.sin()], dim=1)


def test_two_anchors_at_60_degrees_with_negatives_at_90_by_hand():
    # 1 - cos: 1/2 between the anchors, 1 between the first anchor and its only negative.
    anchors, labels = at_degrees(0, 60), torch.tensor([0, 0])
    negatives, classes = at_degrees(90), torch.tensor([0])
    factors = amplification_factor(anchors, labels, negatives, classes)
    to_second = 1 - math.cos(math.radians(30))
    wanted = [math.exp(0.5 - 1), math.exp(0.5 - to_second)]
    assert factors.tolist() == pytest.approx(wanted, rel=1e-12)
    loss = negatives_contrast(anchors, labels, negatives, classes)
    assert loss.item() == pytest.approx(sum(math.log1p(a) for a in wanted) / 2, rel=1e-12)


@pytest.mark.parametrize("kernel", ["exp", "linear"])
def test_far_negatives_and_near_positives_lower_the_loss(kernel):
    labels, classes = torch.tensor([0, 0]), torch.tensor([0])

    def loss(between, away):
        anchors, negatives = at_degrees(0, between), at_degrees(away)
        return negatives_contrast(anchors, labels, negatives, classes, kernel=kernel).item()

    assert loss(40, 170) < loss(40, 120) < loss(40, 80)
    assert loss(20, 120) < loss(40, 120) < loss(60, 120)


def test_a_single_sample_adds_nothing_but_counts_as_a_class():
    anchors, negatives = at_degrees(0, 30, 90), at_degrees(100, 10)
    with_single = negatives_contrast(
        anchors, torch.tensor([0, 0, 1]), negatives, torch.tensor([0, 1])
    )
    alone = negatives_contrast(anchors[:2], torch.tensor([0, 0]), negatives[:1], torch.tensor([0]))
    torch.testing.assert_close(with_single, alone / 2)


@pytest.mark.parametrize("kernel", ["exp", "linear"])
@pytest.mark.parametrize("tau", [1.0, 0.5])
@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES.keys())
def test_factor_is_the_quotient_of_the_sums(batch, kernel, tau):
    arguments = batch.posteriors()
    factors = amplification_factor(*arguments, kernel=kernel, tau=tau).tolist()
    for i, factor in enumerate(factors):
        positive, negative = plain_sums(*arguments, i, kernel, tau)
        assert factor == pytest.approx(float(positive / negative) if negative else 0.0)


def direction_of_one_similarity(unit, anchors, i):
    """A step v from a unit vector along which only its cosine with anchor i changes, at rate 1."""
    rows = torch.cat([unit[None], anchors / anchors.norm(dim=1, keepdim=True)])
    rates = torch.zeros(len(rows), dtype=torch.float64)
    rates[1 + i] = 1
    return torch.linalg.pinv(rows) @ rates


@pytest.mark.parametrize("kernel", ["exp", "linear"])
def test_factor_is_the_one_in_the_gradient(kernel):
    """d L / d s_in = A_i φ'(u_in/τ) / (τ (P_i + Q_i)) / (|C| n_k), against autograd."""
    tau, batch = 0.7, make_batch([0, 0, 0, 1, 1, 2], [0] * 6, 8, 9, seed=3)
    anchors, labels, negatives, classes = batch.posteriors()
    factors = amplification_factor(*batch.posteriors(), kernel=kernel, tau=tau)
    pairs = [(i, n) for i in range(6) for n in range(9) if labels[i] == classes[n]]
    assert {int(labels[i]) for i, _ in pairs} == {0, 1, 2}
    for i, n in pairs:
        positive, negative = plain_sums(anchors, labels, negatives, classes, i, kernel, tau)
        unit = negatives[n] / negatives[n].norm()
        shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
        moved = negatives.clone()
        moved[n] = unit + shift * direction_of_one_similarity(unit, anchors, i)
        loss = negatives_contrast(anchors, labels, moved, classes, kernel=kernel, tau=tau)
        (slope,) = torch.autograd.grad(loss, shift)
        u = 1 - float(unit @ anchors[i] / anchors[i].norm())
        slope_of_kernel = math.exp(u / tau) if kernel == "exp" else 1.0
        weight = 1 / (3 * int((labels == labels[i]).sum()))
        wanted = weight * factors[i] * slope_of_kernel / (tau * (positive + negative))
        assert slope.item() == pytest.approx(float(wanted), rel=1e-8, abs=1e-14)


def test_factor_grows_when_negatives_crowd_the_anchor():
    anchors, labels, classes = at_degrees(0, 60), torch.tensor([0, 0]), torch.tensor([0])
    factors = [
        amplification_factor(anchors, labels, at_degrees(away), classes)[0].item()
        for away in (170, 120, 80, 40, 10)
    ]
    assert factors == sorted(factors)


def test_factor_is_zero_where_the_anchor_has_no_loss():
    anchors, labels, negatives, classes = BATCHES["seven classes"].posteriors()
    labels, classes = torch.arange(len(labels)), torch.arange(len(labels))
    assert (amplification_factor(anchors, labels, negatives, classes) == 0).all()
    no_negatives = amplification_factor(anchors, 0 * labels, negatives[:0], classes[:0])
    assert (no_negatives == 0).all()
    assert no_negatives.shape == labels.shape


def test_coinciding_pairs_have_a_bounded_linear_factor():
    anchors = at_degrees(0, 0, 0)
    labels, classes = torch.tensor([0, 0, 0]), torch.tensor([0])
    factors = amplification_factor(anchors, labels, at_degrees(0), classes, kernel="linear")
    assert factors.tolist() == pytest.approx([2, 2, 2])


@pytest.mark.parametrize("function", [negatives_contrast, amplification_factor])
def test_an_unknown_kernel_is_an_error(function):
    with pytest.raises(ValueError, match="'cubic'; choose one of exp, linear"):
        function(*BATCHES["two classes"].posteriors(), kernel="cubic")
