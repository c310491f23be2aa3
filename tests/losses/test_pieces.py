"""The pieces that the losses share."""

from __future__ import annotations

import pytest
import torch

from ndcl_domainbed.losses.pieces import (
    anchor_pairs,
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
