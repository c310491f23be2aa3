"""What several losses share: who is compared with whom, sums in log space, the mean over classes.

Nothing here (or in the losses) loops over rows or classes, reads a value back to the host, or has
a shape that depends on values, so that an accelerator never waits. A loss is small work in many
operators, and what an operator costs is mostly its call: sums in log space have their gradients in
closed form, therefore. They can be differentiated once; asking for more is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def zero_with_gradient(*tensors: Tensor) -> Tensor:
    """Return a scalar 0 that can be differentiated, with gradient 0 for each of ``tensors``."""
    return torch.stack([(tensor * 0).sum() for tensor in tensors]).sum()


def apart(labels: Tensor, others: Tensor, dtype: torch.dtype) -> Tensor:
    """Return 1 where the class of a row is not that of a column and 0 where it is, (..., N, M).

    ``labels`` (..., N) and ``others`` (..., M) are classes, below 2^24 if ``dtype`` is float32. On
    a CPU numbers are compared several times as fast as integers are, and what is made of the result
    is faster than choosing by a mask.
    """
    return _compared(torch.ne, labels, others, dtype)


def alike(labels: Tensor, others: Tensor, dtype: torch.dtype) -> Tensor:
    """Return 1 - :func:`apart`."""
    return _compared(torch.eq, labels, others, dtype)


def _compared(
    by: Callable[..., Tensor], labels: Tensor, others: Tensor, dtype: torch.dtype
) -> Tensor:
    rows = labels.to(dtype)
    columns = rows if others is labels else others.to(dtype)
    result = rows.new_empty((*rows.shape, columns.shape[-1]))
    return by(rows.unsqueeze(-1), columns.unsqueeze(-2), out=result)


def leave_out(scores: Tensor, left_out: Tensor) -> Tensor:
    """Return ``scores`` where ``left_out`` is 0, and the lowest finite number where it is 1.

    Both are floating and broadcast to each other; scores are finite and far from the lowest number.
    It is subtracted: of a sum of a matrix product and alpha times something, torch's compiler
    (inductor, torch 2.14) forgets alpha.
    """
    return torch.sub(scores, left_out, alpha=torch.finfo(scores.dtype).max)


def softmax_of_rest(scores: Tensor, left_out: Tensor) -> Tensor:
    """Return the softmax of each row over the entries that ``left_out`` leaves, 0 elsewhere.

    ``scores`` (N, M) and ``left_out`` are as for :func:`leave_out`. A row without any entry left
    is uniform.
    """
    return leave_out(scores, left_out).softmax(dim=1)


def softmax_and_logsumexp(kept: Tensor) -> tuple[Tensor, Tensor]:
    """Return the softmax (..., M) and the log Σ exp (...) of each row, of which it is the slope.

    torch.logsumexp takes ten times as long on masked rows: its exp is slow where it underflows.
    """
    weights = kept.softmax(dim=-1)
    return weights, kept.amax(dim=-1) - weights.amax(dim=-1).log_()


def logsumexp_of_rest(scores: Tensor, left_out: Tensor) -> Tensor:
    """Return log Σ exp(score) of each row over the entries that ``left_out`` leaves, (N,).

    ``scores`` and ``left_out`` (N, M), M > 0, are as for :func:`leave_out`. A row without any entry
    left gets the lowest finite number in place of -∞: differences of such values stay finite, and
    gradients through them are finite too. It can be differentiated once.
    """
    return _LogSumExpOfRest.apply(scores, left_out)


class _LogSumExpOfRest(torch.autograd.Function):
    """Its gradient is the softmax, which is kept."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, left_out: Tensor) -> Tensor:
        weights, value = softmax_and_logsumexp(leave_out(scores, left_out))
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


class Pairs(NamedTuple):
    """Anchors against the batch itself (the first N columns) and synthetic negatives (the last M).

    ``apart`` (N, N+M) is 0 where the column belongs to the anchor's class, else 1: a real sample
    does if it is of this class (the anchor itself, too), a synthetic one if it was made as a
    negative for it. ``class_sizes`` (N,) counts the samples of the anchor's class.
    """

    apart: Tensor
    class_sizes: Tensor

    @classmethod
    def of(cls, labels: Tensor, negative_classes: Tensor, dtype: torch.dtype) -> Pairs:
        """Pair samples of the classes ``labels`` (N,) with each other and synthetic negatives.

        ``negative_classes`` (M,) says for which class each of those is a negative, -1 meaning none;
        M may be 0. ``dtype``, floating, is that of the result.
        """
        number = len(labels)
        different = apart(labels, torch.cat([labels, negative_classes]), dtype)
        return cls(different, number - different[:, :number].sum(dim=1))

    def positives(self) -> Tensor:
        """Return the mask (N, N) of the real samples of the anchor's class but the anchor."""
        return (self.apart[:, : len(self.apart)] == 0).fill_diagonal_(False)

    def synthetic(self) -> Tensor:
        """Return the mask (N, M) of the synthetic negatives of the anchor's class."""
        return self.apart[:, len(self.apart) :] == 0
