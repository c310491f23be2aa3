"""The pieces that the losses share."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from ndcl_domainbed.losses.pieces import (
    SMALLEST_NORM,
    anchor_pairs,
    class_weights,
    cosines,
    masked_logsumexp,
    masked_softmax,
    mean_over_classes,
    zero_with_gradient,
)


def scores_and_mask(shape=(6, 9)):
    generator = torch.Generator().manual_seed(0)
    scores = 5 * torch.randn(shape, generator=generator, dtype=torch.float64)
    mask = torch.rand(shape, generator=generator) < 0.5
    mask[:, 0] = True
    return scores.requires_grad_(), mask


def test_masked_logsumexp_is_that_of_the_entries_kept():
    scores, mask = scores_and_mask()
    wanted = torch.stack([row[kept].logsumexp(0) for row, kept in zip(scores, mask, strict=True)])
    torch.testing.assert_close(masked_logsumexp(scores, mask), wanted)
    assert torch.autograd.gradcheck(lambda s: masked_logsumexp(s, mask), scores)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_masked_logsumexp_of_rows_without_entries_is_low_and_finite(dtype, scale):
    scores = (scale * torch.randn(3, 4, dtype=dtype)).requires_grad_()
    mask = torch.tensor([[True] * 4, [False] * 4, [False] * 4])
    value = masked_logsumexp(scores, mask)
    assert value.isfinite().all()
    assert value[1] < -1e38
    assert value[2] - value[1] == 0
    value.sum().backward()
    assert scores.grad.isfinite().all()


def test_masked_softmax_is_that_of_the_entries_kept():
    scores, mask = scores_and_mask()
    weights = masked_softmax(scores, mask)
    assert (weights[~mask] == 0).all()
    for row, kept, found in zip(scores, mask, weights, strict=True):
        torch.testing.assert_close(found[kept], row[kept].softmax(0))


def test_mean_over_classes_counts_each_class_once():
    values = torch.tensor([1.0, 3.0, 10.0])
    assert mean_over_classes(values, torch.tensor([2, 2, 1])).item() == pytest.approx(6)
    assert mean_over_classes(values[:0], torch.tensor([], dtype=torch.int64)).item() == 0


def test_class_weights_give_each_class_the_same():
    weights = class_weights(torch.tensor([2.0, 1.0, 3.0, 2.0, 3.0, 3.0]))
    torch.testing.assert_close(weights, torch.tensor([3, 6, 2, 3, 2, 2]) / 18)


def rows_of(number, width=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(number, width, generator=generator, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("number_of_others", [None, 0, 4])
def test_cosines_and_their_gradient(number_of_others):
    anchors = rows_of(6)
    others = None if number_of_others is None else rows_of(number_of_others, seed=1)
    columns = anchors if others is None else torch.cat([anchors, others])
    wanted = F.cosine_similarity(anchors[:, None], columns, dim=2)
    torch.testing.assert_close(cosines(anchors, others), wanted)
    assert torch.autograd.gradcheck(cosines, anchors if others is None else (anchors, others))


def test_cosines_of_short_and_zero_rows_have_the_gradient_of_the_division():
    with torch.no_grad():
        anchors, others = rows_of(4), rows_of(3, seed=1)
        anchors[0], others[2] = 0, 0
        anchors[1] *= 0.1 * SMALLEST_NORM / anchors[1].norm()
    found = cosines(anchors, others)
    unit = F.normalize(torch.cat([anchors, others]), dim=1, eps=SMALLEST_NORM)
    wanted = unit[:4] @ unit.T
    torch.testing.assert_close(found, wanted)
    slope = torch.randn_like(found)
    ours, plain = (torch.autograd.grad(s, (anchors, others), slope) for s in (found, wanted))
    torch.testing.assert_close(ours, plain)


def test_a_backward_pass_within_autocast_is_in_the_precision_of_the_forward_pass():
    anchors = rows_of(6).float().detach().requires_grad_()
    (wanted,) = torch.autograd.grad(cosines(anchors).exp().sum(), anchors)
    loss = cosines(anchors).exp().sum()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (gradient,) = torch.autograd.grad(loss, anchors)
    assert gradient.equal(wanted)


@pytest.mark.parametrize("function", [cosines, lambda x: masked_logsumexp(x, x > 0)])
def test_a_second_derivative_is_refused_and_not_wrong(function):
    x = rows_of(4)
    (gradient,) = torch.autograd.grad(function(x).pow(2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_zero_with_gradient():
    a, b = torch.rand(3, requires_grad=True), torch.rand(2, 2, requires_grad=True)
    zero = zero_with_gradient(a, b)
    zero.backward()
    assert zero.item() == 0
    assert (a.grad == 0).all()
    assert (b.grad == 0).all()


def test_pairs_say_who_is_whose_positive_and_negative():
    anchors = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    pairs = anchor_pairs(
        anchors, torch.tensor([0, 1, 0]), torch.tensor([[0.0, 5.0]]), torch.tensor([1])
    )
    half = 0.5**0.5
    wanted = [[1, 0, half, 0], [0, 1, half, 1], [half, half, 1, half]]
    torch.testing.assert_close(pairs.similarity, torch.tensor(wanted))
    assert pairs.class_sizes.tolist() == [2, 1, 2]
    assert pairs.positives().tolist() == [[False, False, True], [False] * 3, [True, False, False]]
    assert pairs.synthetic().tolist() == [[False], [True], [False]]
