"""The pieces that the losses share."""

from __future__ import annotations

import pytest
import torch

from ndcl_domainbed.losses.pieces import (
    Pairs,
    alike,
    apart,
    class_weights,
    logsumexp_of_rest,
    mean_over_classes,
    softmax_of_rest,
    zero_with_gradient,
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_who_is_of_the_class_of_whom(dtype):
    generator = torch.Generator().manual_seed(0)
    labels, others = (torch.randint(-1, 4, (2, n), generator=generator) for n in (5, 7))
    wanted = [
        [[float(a != b) for b in other] for a in row]
        for row, other in zip(labels, others, strict=True)
    ]
    found = apart(labels, others, dtype)
    assert found.tolist() == wanted
    assert found.dtype == dtype
    assert alike(labels, others, dtype).equal(1 - found)
    assert apart(labels, labels, dtype).equal(apart(labels, labels.clone(), dtype))


def test_classes_are_told_apart_as_long_as_their_numbers_are_exact():
    labels = torch.tensor([2**24 - 1, 2**24 - 2, 0])
    assert apart(labels, labels, torch.float32).equal(1 - torch.eye(3))


def scores_and_left_out(shape=(6, 9)):
    generator = torch.Generator().manual_seed(0)
    scores = 5 * torch.randn(shape, generator=generator, dtype=torch.float64)
    left_out = (torch.rand(shape, generator=generator) < 0.5).double()
    left_out[:, 0] = 0
    return scores.requires_grad_(), left_out


def test_logsumexp_is_that_of_the_entries_left():
    scores, left_out = scores_and_left_out()
    rows = zip(scores, left_out == 0, strict=True)
    wanted = torch.stack([row[kept].logsumexp(0) for row, kept in rows])
    torch.testing.assert_close(logsumexp_of_rest(scores, left_out), wanted)
    assert torch.autograd.gradcheck(lambda s: logsumexp_of_rest(s, left_out), scores)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_logsumexp_of_rows_without_entries_is_low_and_finite(dtype, scale):
    scores = (scale * torch.randn(3, 4, dtype=dtype)).requires_grad_()
    left_out = torch.tensor([[0] * 4, [1] * 4, [1] * 4]).to(dtype)
    value = logsumexp_of_rest(scores, left_out)
    assert value.isfinite().all()
    assert value[1] < -1e38
    assert value[2] - value[1] == 0
    value.sum().backward()
    assert scores.grad.isfinite().all()


def test_softmax_is_that_of_the_entries_left():
    scores, left_out = scores_and_left_out()
    weights = softmax_of_rest(scores, left_out)
    assert (weights[left_out == 1] == 0).all()
    for row, kept, found in zip(scores, left_out == 0, weights, strict=True):
        torch.testing.assert_close(found[kept], row[kept].softmax(0))


def test_a_second_derivative_is_refused_and_not_wrong():
    scores, left_out = scores_and_left_out()
    value = logsumexp_of_rest(scores, left_out)
    (gradient,) = torch.autograd.grad(value.pow(2).sum(), scores, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_mean_over_classes_counts_each_class_once():
    values = torch.tensor([1.0, 3.0, 10.0])
    assert mean_over_classes(values, torch.tensor([2, 2, 1])).item() == pytest.approx(6)
    assert mean_over_classes(values[:0], torch.tensor([], dtype=torch.int64)).item() == 0


def test_class_weights_give_each_class_the_same():
    weights = class_weights(torch.tensor([2.0, 1.0, 3.0, 2.0, 3.0, 3.0]))
    torch.testing.assert_close(weights, torch.tensor([3, 6, 2, 3, 2, 2]) / 18)


def test_zero_with_gradient():
    a, b = torch.rand(3, requires_grad=True), torch.rand(2, 2, requires_grad=True)
    zero = zero_with_gradient(a, b)
    zero.backward()
    assert zero.item() == 0
    assert (a.grad == 0).all()
    assert (b.grad == 0).all()


def test_pairs_say_who_is_whose_positive_and_negative():
    pairs = Pairs.of(torch.tensor([0, 1, 0]), torch.tensor([1]), torch.float32)
    assert pairs.apart.tolist() == [[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1]]
    assert pairs.class_sizes.tolist() == [2, 1, 2]
    assert pairs.positives().tolist() == [[False, False, True], [False] * 3, [True, False, False]]
    assert pairs.synthetic().tolist() == [[False], [True], [False]]
