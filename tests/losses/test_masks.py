"""The masks, sums and means that the losses share."""

import pytest
import torch

from ndcl_domainbed.losses.masks import (
    masked_logsumexp,
    zero_with_gradient,
)


def test_logsumexp_is_that_of_the_entries_in_the_mask():
    generator = torch.Generator().manual_seed(0)
    scores = 5 * torch.randn(6, 9, generator=generator, dtype=torch.float64)
    scores.requires_grad_()
    mask = torch.rand(6, 9, generator=generator) < 0.5
    mask[:, 0] = True
    rows = zip(scores, mask, strict=True)
    wanted = torch.stack([row[kept].logsumexp(0) for row, kept in rows])
    torch.testing.assert_close(masked_logsumexp(scores, mask), wanted)
    assert torch.autograd.gradcheck(lambda s: masked_logsumexp(s, mask), scores)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_logsumexp_of_rows_without_entries_is_low_and_finite(dtype, scale):
    scores = (scale * torch.randn(3, 4, dtype=dtype)).requires_grad_()
    mask = torch.tensor([[True] * 4, [False] * 4, [False] * 4])
    with torch.autograd.detect_anomaly(check_nan=True):
        value = masked_logsumexp(scores, mask)
        value.sum().backward()
    assert value.isfinite().all()
    assert value[1] < -1e38
    assert value[2] - value[1] == 0
    assert scores.grad.isfinite().all()
    assert (scores.grad[1:] == 0).all()


def test_zero_with_gradient():
    a, b = torch.rand(3, requires_grad=True), torch.rand(2, 2, requires_grad=True)
    zero = zero_with_gradient(a, b)
    zero.backward()
    assert zero.item() == 0
    assert (a.grad == 0).all()
    assert (b.grad == 0).all()
