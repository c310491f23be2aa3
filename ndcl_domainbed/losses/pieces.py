"""What several losses share: cosine similarities, sums in log space, the mean over classes.

Nothing here (or in the losses) loops over rows or classes, reads a value back to the host, or has
a shape that depends on values, so that an accelerator never waits. A loss is small work in many
operators, and what an operator costs is mostly its call: cosines and sums in log space have their
gradients in closed form, therefore. They can be differentiated once; asking for more is an error.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
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
    return keep(scores, mask).softmax(dim=1)


def keep(scores: Tensor, mask: Tensor) -> Tensor:
    """Return ``scores`` where ``mask``, bool, is true, and the lowest finite number elsewhere."""
    return torch.where(mask, scores, torch.finfo(scores.dtype).min)


def softmax_and_logsumexp(kept: Tensor) -> tuple[Tensor, Tensor]:
    """Return the softmax (N, M) and the log Σ exp (N,) of each row, which has the former as slope.

    torch.logsumexp takes ten times as long on masked rows: its exp is slow where it underflows.
    """
    weights = kept.softmax(dim=1)
    return weights, kept.amax(dim=1) - weights.amax(dim=1).log()


def masked_logsumexp(scores: Tensor, mask: Tensor) -> Tensor:
    """Return log Σ exp(score) of each row over the entries that ``mask`` keeps, (N,).

    ``scores`` and ``mask``, bool, are (N, M) with M > 0. A row without any entry gets the lowest
    finite number in place of -∞: differences of such values stay finite, and gradients through
    them are finite too. It can be differentiated once.
    """
    return _MaskedLogSumExp.apply(scores, mask)


class _MaskedLogSumExp(torch.autograd.Function):
    """Its gradient is the softmax, which is kept."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, mask: Tensor) -> Tensor:
        weights, value = softmax_and_logsumexp(keep(scores, mask))
        ctx.save_for_backward(weights)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (weights,) = ctx.saved_tensors
        return gradient[:, None] * weights, None


def class_weights(class_sizes: Tensor) -> Tensor:
    """Return 1 / (|C| n_k) for each sample (N,), N > 0: of these weights each class has 1 / |C|.

    ``class_sizes`` (N,), floating, is the number n_k of samples in the class of each sample.
    """
    shares = class_sizes.reciprocal()
    return shares / shares.sum()


def mean_over_classes(values: Tensor, class_sizes: Tensor) -> Tensor:
    """Return (1/|C|) Σ_k mean of ``values`` over class k: every class counts once.

    ``values`` is (N,), one value a sample; ``class_sizes`` (N,) is the number of samples in the
    class of each.
    """
    return torch.dot(values, class_weights(class_sizes))


def cosines(anchors: Tensor, others: Tensor | None = None) -> Tensor:
    """Return the cosine of each of ``anchors`` (N, F) with all of them and ``others`` (M, F).

    The result is (N, N+M), the anchors in its first columns; without ``others`` it is (N, N).
    """
    rows = anchors if others is None else torch.cat([anchors, others])
    return _Cosines.apply(rows, len(anchors))


def as_they_are(values: Tensor) -> AbstractContextManager[Any]:
    """Return a context in which products on the device of ``values`` keep the type they have.

    A backward pass may run within autocast though the forward pass did not.
    """
    device = values.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()


class _Cosines(torch.autograd.Function):
    """S = U_a Uᵀ of the unit rows U = X / |X|, of which U_a are the first.

    With G the slope of S, that of U is V = Gᵀ U_a, plus G U in the rows of U_a, and that of a row
    x of X is (v - (v·u) u) / |x|; for a row of less than SMALLEST_NORM it is v / SMALLEST_NORM.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, number: int) -> Tensor:
        norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        divisors = norms.clamp_min(SMALLEST_NORM)
        unit = rows / divisors
        ctx.save_for_backward(unit, norms, divisors)
        with as_they_are(rows):
            return unit[:number] @ unit.T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        unit, norms, divisors = ctx.saved_tensors
        number = len(gradient)
        with as_they_are(unit):
            slope = gradient.T @ unit[:number]
            slope[:number].addmm_(gradient, unit)
        along = (slope * unit).sum(dim=1, keepdim=True) * (norms >= SMALLEST_NORM)
        return slope.addcmul_(along, unit, value=-1).div_(divisors), None


class Pairs(NamedTuple):
    """Anchors against the batch itself (the first N columns) and synthetic negatives (the last M).

    ``similarity`` (N, N+M) holds the cosines, ``same`` (N, N+M) whether the column belongs to the
    anchor's class: for a real sample that it is of this class (the anchor itself included), for a
    synthetic one that it was made as a negative for it. ``class_sizes`` (N,), of the type of the
    anchors, counts the samples of the anchor's class.
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
    same = labels[:, None] == torch.cat([labels, negative_classes])
    sizes = same[:, : len(labels)].sum(dim=1, dtype=anchors.dtype)
    return Pairs(cosines(anchors, negatives), same, sizes)
