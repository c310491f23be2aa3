"""Cosine similarities and losses of them, with their gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from ndcl_domainbed.losses.cosines import SMALLEST_NORM, cosine_loss, cosines


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


def of_squares(similarity, weights):
    """A criterion: Σ w s², and its slope."""
    return (weights * similarity**2).sum(), 2 * weights * similarity


@pytest.mark.parametrize("scale", [1.0, -2.5])
@pytest.mark.parametrize("number_of_others", [None, 4])
def test_a_loss_of_cosines_is_the_criterion_of_the_cosines(number_of_others, scale):
    anchors = rows_of(6)
    others = () if number_of_others is None else (rows_of(number_of_others, seed=1),)
    weights = torch.rand(6, 6 + (number_of_others or 0), dtype=torch.float64)

    def loss(*rows):
        return cosine_loss(of_squares, (weights,), *rows, scale=scale)

    wanted, _ = of_squares(scale * cosines(anchors, *others), weights)
    torch.testing.assert_close(loss(anchors, *others), wanted)
    torch.testing.assert_close(
        cosines(anchors, *others, scale=scale), scale * cosines(anchors, *others)
    )
    assert torch.autograd.gradcheck(loss, (anchors, *others))
    assert torch.autograd.gradcheck(lambda *rows: cosines(*rows, scale=scale), (anchors, *others))


@pytest.mark.parametrize(
    "function", [cosines, lambda rows: cosine_loss(of_squares, (torch.ones(4, 4),), rows)]
)
def test_a_second_derivative_is_refused_and_not_wrong(function):
    x = rows_of(4)
    (gradient,) = torch.autograd.grad(function(x).pow(2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
