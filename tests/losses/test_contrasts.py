"""What the three contrasts share: the formula, gradients, invariances, impossible batches."""

import functools

import pytest
import torch

from ndcl_domainbed.losses import infonce_contrast, negatives_contrast, supcon_contrast
from ndcl_domainbed.losses.cosines import SMALLEST_NORM, cosines
from tests.losses.plain import (
    BATCHES,
    plain_infonce,
    plain_negatives,
    plain_supcon,
)

CONTRASTS = {
    "negatives, exp": (negatives_contrast, plain_negatives),
    "negatives, linear": (
        functools.partial(negatives_contrast, kernel="linear"),
        functools.partial(plain_negatives, kernel="linear"),
    ),
    "infonce": (infonce_contrast, plain_infonce),
    "supcon": (supcon_contrast, plain_supcon),
}

each_contrast = pytest.mark.parametrize(
    ("contrast", "plain"), CONTRASTS.values(), ids=CONTRASTS.keys()
)
each_function = pytest.mark.parametrize(
    "contrast", [contrast for contrast, _ in CONTRASTS.values()], ids=CONTRASTS.keys()
)


def leaves(batch):
    """The batch's posteriors, anchors and negatives being leaves."""
    anchors, labels, negatives, classes = batch.posteriors()
    return anchors.requires_grad_(), labels, negatives.requires_grad_(), classes


@each_contrast
@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES.keys())
def test_value_and_gradient_are_those_of_the_formula(batch, contrast, plain):
    arguments, tau = leaves(batch), 0.3
    loss, wanted = contrast(*arguments, tau=tau), plain(*arguments, tau=tau)
    torch.testing.assert_close(loss, wanted)
    inputs = (arguments[0], arguments[2])
    gradients = torch.autograd.grad(loss, inputs)
    plain_gradients = torch.autograd.grad(wanted, inputs, allow_unused=True)
    for gradient, plain_gradient in zip(gradients, plain_gradients, strict=True):
        if plain_gradient is None:
            assert (gradient == 0).all()
        else:
            torch.testing.assert_close(gradient, plain_gradient)


@each_function
def test_negatives_for_no_class_do_nothing(contrast):
    anchors, labels, negatives, classes = BATCHES["seven classes"].posteriors()
    more = torch.cat([negatives, negatives[:5].flip(1)])
    torch.testing.assert_close(
        contrast(anchors, labels, more, torch.cat([classes, -torch.ones_like(classes[:5])])),
        contrast(anchors, labels, negatives, classes),
    )


@each_function
def test_an_empty_batch_gives_zero_with_a_gradient(contrast):
    anchors = torch.zeros(0, 4, requires_grad=True)
    nothing = torch.zeros(0, dtype=torch.int64)
    loss = contrast(anchors, nothing, anchors.detach(), nothing)
    loss.backward()
    assert loss.item() == 0


@each_function
@pytest.mark.parametrize("tau", [0.01, 100.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_temperatures_coinciding_and_zero_vectors_stay_finite(contrast, tau, dtype):
    corners = torch.eye(4, dtype=dtype)
    corners[3] = 0
    anchors = corners[[0, 0, 0, 1, 1, 2]].requires_grad_()
    negatives = corners[[0, 0, 1, 3, 2, 2]].requires_grad_()
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    loss = contrast(anchors, labels, negatives, torch.tensor([0, 0, 1, 1, 2, 2]), tau=tau)
    loss.backward()
    assert loss.isfinite()
    assert loss.dtype == dtype
    assert anchors.grad.isfinite().all()
    assert negatives.grad.isfinite().all()


def rows_of(number, width=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(number, width, generator=generator, dtype=torch.float64).requires_grad_()


def test_cosines_of_short_and_zero_rows_have_the_gradient_of_the_division():
    with torch.no_grad():
        anchors, others = rows_of(4), rows_of(3, seed=1)
        anchors[0], others[2] = 0, 0
        anchors[1] *= 0.1 * SMALLEST_NORM / anchors[1].norm()
    found = cosines(anchors, others)
    assert (found[0] == 0).all()
    (gradient,) = torch.autograd.grad(found.sum(), anchors)
    unit = others / others.norm(dim=1, keepdim=True).clamp_min(SMALLEST_NORM)
    short = unit.sum(dim=0) / SMALLEST_NORM
    torch.testing.assert_close(gradient[:2], torch.stack([short, short]))
    assert gradient.isfinite().all()


def test_within_autocast_they_keep_the_precision_of_the_vectors():
    anchors = rows_of(6).float().detach()
    wanted = cosines(anchors, anchors)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert cosines(anchors, anchors).equal(wanted)
