"""Cosine similarities and their gradients."""

import torch
from torch.nn import functional as F

from ndcl_domainbed.losses.cosines import SMALLEST_NORM, cosines


def rows_of(number, width=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(number, width, generator=generator, dtype=torch.float64).requires_grad_()


def test_cosines_and_their_gradient():
    anchors, others = rows_of(6), rows_of(4, seed=1)
    wanted = F.cosine_similarity(anchors[:, None], others, dim=2)
    torch.testing.assert_close(cosines(anchors, others), wanted)
    assert torch.autograd.gradcheck(cosines, (anchors, others))
    assert cosines(anchors, others[:0]).shape == (6, 0)


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
