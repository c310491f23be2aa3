"""What several losses share: cosine similarities, sums in log space, the mean over classes.

Nothing here (or in the losses) loops over rows or classes, reads a value back to the host, or has
a shape that depends on values, so that an accelerator never waits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

SMALLEST_NORM = 1e-6
"""A vector shorter than this is divided by this: the cosine of a zero vector is 0, and finite."""


def zero_with_gradient(*tensors: Tensor) -> Tensor:
    """Return a scalar 0 that can be differentiated, with gradient 0 for each of ``tensors``."""
    return torch.stack([(tensor * 0).sum() for tensor in tensors]).sum()


def unit_rows(vectors: Tensor) -> Tensor:
    """Return the rows of ``vectors`` (N, F) divided by their Euclidean norms."""
    return F.normalize(vectors, dim=1, eps=SMALLEST_NORM)


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Return the softmax of each row over the entries that ``mask`` keeps, 0 elsewhere.

    ``scores`` (N, M) and ``mask``, bool, are broadcast to each other. A row without any entry is
    uniform.
    """
    return torch.where(mask, scores, torch.finfo(scores.dtype).min).softmax(dim=1)


def masked_logsumexp(scores: Tensor, mask: Tensor) -> Tensor:
    """Return log Σ exp(score) of each row over the entries that ``mask`` keeps, (N,).

    ``scores`` and ``mask``, bool, are (N, M) with M > 0. A row without any entry gets the lowest
    finite number in place of -∞: differences of such values stay finite, and gradients through
    them are finite too. It can be differentiated once.
    """
    return _MaskedLogSumExp.apply(scores, mask)


class _MaskedLogSumExp(torch.autograd.Function):
    """Max minus log of the largest softmax weight; the gradient is the softmax, which is kept.

    torch.logsumexp takes ten times as long on masked rows: its exp is slow where it underflows.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, mask: Tensor) -> Tensor:
        kept = torch.where(mask, scores, torch.finfo(scores.dtype).min)
        weights = kept.softmax(dim=1)
        ctx.save_for_backward(weights)
        return kept.amax(dim=1) - weights.amax(dim=1).log()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (weights,) = ctx.saved_tensors
        return gradient[:, None] * weights, None


def mean_over_classes(values: Tensor, class_sizes: Tensor) -> Tensor:
    """Return (1/|C|) Σ_k mean of ``values`` over class k: every class counts once.

    ``values`` is (N,), one value a sample; ``class_sizes`` (N,) is the number of samples in the
    class of each. The mean of no samples is 0.
    """
    weights = class_sizes.to(values.dtype).reciprocal()
    return torch.dot(values, weights) / weights.sum().clamp_min(1)


class Pairs(NamedTuple):
    """Anchors against the batch itself (the first N columns) and synthetic negatives (the last M).

    ``similarity`` (N, N+M) holds the cosines, ``same`` (N, N+M) whether the column belongs to the
    anchor's class: for a real sample that it is of this class (the anchor itself included), for a
    synthetic one that it was made as a negative for it. ``class_sizes`` (N,) counts the samples of
    the anchor's class.
    """

    similarity: Tensor
    same: Tensor
    class_sizes: Tensor

    def positives(self) -> Tensor:
        """Return the mask (N, N) of the real samples of the anchor's class but the anchor."""
        return self.same[:, : len(self.same)].clone().fill_diagonal_(False)

    def synthetic(self) -> Tensor:
        """Return the mask (N, M) of the synthetic negatives of the anchor's class."""
        return self.same[:, len(self.same) :]


def anchor_pairs(
    anchors: Tensor, labels: Tensor, negatives: Tensor, negative_classes: Tensor
) -> Pairs:
    """Compare all anchors (N, F) with each other and with the synthetic negatives (M, F).

    ``labels`` (N,) are class indices; ``negative_classes`` (M,) says for which class each synthetic
    sample is a negative, -1 meaning none. M may be 0.
    """
    rows = unit_rows(torch.cat([anchors, negatives]))
    similarity = rows[: len(anchors)] @ rows.T
    same = labels[:, None] == torch.cat([labels, negative_classes])
    return Pairs(similarity, same, same[:, : len(labels)].sum(dim=1))
