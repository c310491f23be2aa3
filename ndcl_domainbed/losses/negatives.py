"""Negatives-dominant contrast: inter-class separation by scoring dissimilar negatives."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ndcl_domainbed.losses.pieces import (
    anchor_pairs,
    class_weights,
    keep,
    softmax_and_logsumexp,
    zero_with_gradient,
)

KERNELS = ("exp", "linear")
"""φ(u) = exp(u), and φ(u) = u (of the paper's gradient analysis)."""

EPSILON = 1e-4
"""Added to the linear kernel: it keeps log φ and its slope finite when a pair coincides."""


def negatives_contrast(
    anchors: Tensor,
    labels: Tensor,
    negatives: Tensor,
    negative_classes: Tensor,
    *,
    kernel: str = "exp",
    tau: float = 1.0,
) -> Tensor:
    """Return L_con = (1/|C|) Σ_k mean_{i in I_k} -log [Q_i / (P_i + Q_i)], a scalar >= 0.

    P_i = Σ φ((1 - s_ip)/τ) over the other samples p of the anchor's class, and Q_i the same sum
    over the synthetic negatives of that class; s is the cosine. The *negatives* stand in the
    numerator and *dissimilarity* is scored, so the loss falls when negatives are far and positives
    near. An anchor adds log(1 + A_i) with A_i as in :func:`amplification_factor`.

    ``anchors`` (N, F) with ``labels`` (N,); ``negatives`` (M, F), where ``negative_classes`` (M,)
    names the class that each is a negative for (-1: none). ``kernel`` is 'exp' or 'linear'
    (φ(u) = u + 1e-4). A class with one sample, or without a negative, adds 0 and still is one of
    C; a batch without any negative (one class only) gives 0 with gradient 0. Memory grows as
    N (N + M). Raises ValueError for an unknown kernel. Source: Cao, Liu & Chen, ICML 2026,
    arXiv:2601.21999, the negatives-dominant contrastive loss.
    """
    if len(anchors) == 0 or len(negatives) == 0:
        return zero_with_gradient(anchors, negatives)
    pairs = anchor_pairs(anchors, labels, negatives, negative_classes)
    scores = _log_kernel(pairs.similarity, kernel, tau)
    return _MeanLogOnePlusFactor.apply(scores, *pairs[1:])


def amplification_factor(
    anchors: Tensor,
    labels: Tensor,
    negatives: Tensor,
    negative_classes: Tensor,
    *,
    kernel: str = "exp",
    tau: float = 1.0,
) -> Tensor:
    """Return A_i = P_i / Q_i of each anchor, (N,): the factor by which negatives are pushed away.

    The gradient of the anchor's loss with respect to the similarity of one of its negatives is
    A_i φ'((1 - s_in)/τ) / (τ (P_i + Q_i)): A_i grows when negatives crowd the anchor. It is 0 for
    an anchor without positives or without negatives, whose loss is 0. The arguments are those of
    :func:`negatives_contrast`. Source: Cao, Liu & Chen, ICML 2026, arXiv:2601.21999, the gradient
    analysis of the contrastive loss.
    """
    if len(anchors) == 0 or len(negatives) == 0:
        return anchors.new_zeros(len(anchors))
    pairs = anchor_pairs(anchors, labels, negatives, negative_classes)
    scores = _log_kernel(pairs.similarity, kernel, tau)
    factors = _Factors.of(scores, pairs.same)
    has_loss = factors.has_negative & (pairs.class_sizes > 1)
    return torch.where(has_loss, factors.log_factor, -torch.inf).exp()


class _Factors(NamedTuple):
    """log A_i (N,), finite for every anchor, with its slopes in the scores (N, N) and (N, M).

    The slope in the scores of the real samples is ``near``, that in those of the synthetic ones is
    -``far``. ``has_negative`` (N,) leaves out anchors without any, whose A_i means nothing; that of
    an anchor without positives is next to nothing.
    """

    log_factor: Tensor
    near: Tensor
    far: Tensor
    has_negative: Tensor

    @classmethod
    def of(cls, scores: Tensor, same: Tensor) -> _Factors:
        """Take ``scores`` log φ and the mask ``same``, both (N, N+M), of :class:`Pairs`."""
        lowest = torch.finfo(scores.dtype).min
        kept = keep(scores, same).fill_diagonal_(lowest)  # an anchor is not its own positive
        number = len(same)
        near, log_positive = softmax_and_logsumexp(kept[:, :number])
        far, log_negative = softmax_and_logsumexp(kept[:, number:])
        has_negative = log_negative > lowest / 2
        return cls(log_positive - log_negative, near, far, has_negative)


class _MeanLogOnePlusFactor(torch.autograd.Function):
    """L_con = Σ_i w_i log(1 + A_i) of the scores log φ, w_i = 1/(|C| n_k), with its gradient.

    The slope of log(1 + A) in log A is A / (1 + A).
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, same: Tensor, class_sizes: Tensor) -> Tensor:
        factors = _Factors.of(scores, same)
        weights = class_weights(class_sizes) * factors.has_negative
        slope = (weights * factors.log_factor.sigmoid())[:, None]
        ctx.save_for_backward(torch.cat([slope * factors.near, -slope * factors.far], dim=1))
        return torch.dot(weights, F.softplus(factors.log_factor))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return gradient * slope, None, None


def _log_kernel(similarity: Tensor, kernel: str, tau: float) -> Tensor:
    """Return log φ((1 - s)/τ), but for a constant that A_i does not see."""
    if kernel == "exp":
        return similarity / -tau
    if kernel == "linear":
        return torch.log((1 - similarity).clamp_min(0) / tau + EPSILON)
    raise ValueError(f"unknown kernel {kernel!r}; there are: {', '.join(KERNELS)}")
