"""What the three contrasts share: the formula, gradients, invariances, impossible batches."""

import functools
import math

import pytest
import torch

from ndcl_domainbed.losses import infonce_contrast, negatives_contrast, supcon_contrast
from tests.losses.plain import (
    BATCHES,
    make_batch,
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
def test_order_length_and_names_of_classes_do_not_matter(contrast):
    anchors, labels, negatives, classes = BATCHES["seven classes"].posteriors()
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(labels), generator=generator)
    other = torch.randperm(len(classes), generator=generator)
    name = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    torch.testing.assert_close(
        contrast(3 * anchors[order], name[labels[order]], negatives[other], name[classes[other]]),
        contrast(anchors, labels, negatives, classes),
    )


@each_function
def test_negatives_for_no_class_do_nothing(contrast):
    anchors, labels, negatives, classes = BATCHES["seven classes"].posteriors()
    more = torch.cat([negatives, negatives[:5].flip(1)])
    torch.testing.assert_close(
        contrast(anchors, labels, more, torch.cat([classes, -torch.ones_like(classes[:5])])),
        contrast(anchors, labels, negatives, classes),
    )


@each_function
def test_one_class_gives_zero_with_a_zero_gradient(contrast):
    anchors, labels, negatives, classes = make_batch([1] * 6, [0] * 6, 4, 6).posteriors()
    classes = torch.full_like(classes, -1)
    anchors, negatives = anchors.requires_grad_(), negatives.requires_grad_()
    loss = contrast(anchors, labels, negatives, classes)
    loss.backward()
    assert loss.item() == 0
    assert (anchors.grad == 0).all()
    assert (negatives.grad == 0).all()


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


CORNERS = torch.eye(3, dtype=torch.float64)
E = math.e


@pytest.mark.parametrize(
    ("contrast", "competing"), [(infonce_contrast, (E + 1) / E), (supcon_contrast, (2 * E + 1) / E)]
)
def test_infonce_and_supcon_by_hand(contrast, competing):
    # Two equal anchors of class 0, one of class 1 at a right angle, one synthetic negative of
    # class 0 at a right angle: e / (e + 1 + 1) twice, and a class of one sample.
    labels = torch.tensor([0, 0, 1])
    loss = contrast(CORNERS[[0, 0, 1]], labels, CORNERS[[2]], torch.tensor([0]))
    assert loss.item() == pytest.approx(math.log((E + 2) / E) / 2, rel=1e-12)
    # Of three equal anchors the two positives compete with each other in SupCon alone.
    labels, none = torch.tensor([0, 0, 0, 1]), torch.zeros(0, dtype=torch.int64)
    loss = contrast(CORNERS[[0, 0, 0, 1]], labels, CORNERS[:0], none)
    assert loss.item() == pytest.approx(math.log(competing) / 2, rel=1e-12)
