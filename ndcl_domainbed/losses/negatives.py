"""Negatives-dominant contrast: inter-class separation by scoring dissimilar negatives."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.losses.cosines import cosine_loss, cosines
from ndcl_domainbed.losses.pieces import (
    Pairs,
    class_weights,
    leave_out,
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
    _check(kernel)
    pairs = Pairs.of(labels, negative_classes, anchors.dtype)
    if kernel == "exp":
        return cosine_loss(_mean_log, (*pairs,), anchors, negatives, scale=-1 / tau)
    return cosine_loss(_mean_log_linear, (*pairs, tau), anchors, negatives)


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
    _check(kernel)
    pairs = Pairs.of(labels, negative_classes, anchors.dtype)
    scores = cosines(anchors, negatives, scale=-1 / tau if kernel == "exp" else 1)
    scores = scores if kernel == "exp" else _linear_kernel(scores, tau).log()
    factors = _Factors.of(scores, pairs.apart)
    has_loss = (factors.has_negative > 0) & (pairs.class_sizes > 1)
    return torch.where(has_loss, factors.log_factor, -torch.inf).exp()


class _Factors(NamedTuple):
    """log A_i (N,), finite for every anchor, with its ``slopes`` (N, N+M) in the scores.

    ``has_negative`` (N,) is 0 for anchors without any, whose A_i means nothing, else 1; the A_i of
    an anchor without positives is next to nothing.
    """

    log_factor: Tensor
    slopes: Tensor
    has_negative: Tensor

    @classmethod
    def of(cls, scores: Tensor, apart: Tensor) -> _Factors:
        """Take the ``scores`` log φ and ``apart``, both (N, N+M), of :class:`Pairs`."""
        lowest = torch.finfo(scores.dtype).min
        kept = leave_out(scores, apart).fill_diagonal_(lowest)  # none is its own positive
        number, width = kept.shape
        if width == 2 * number:  # as with every budget but 'fixed': both sums in one call
            slopes, logs = softmax_and_logsumexp(kept.view(number, 2, number))
            slopes.select(1, 1).neg_()
            slopes, (log_positive, log_negative) = slopes.view(number, width), logs.unbind(1)
        else:
            near, log_positive = softmax_and_logsumexp(kept[:, :number])
            far, log_negative = softmax_and_logsumexp(kept[:, number:])
            slopes = torch.cat([near, far.neg_()], dim=1)
        log_factor = log_positive - log_negative
        return cls(log_factor, slopes, log_negative.gt_(lowest / 2))


def _mean_log(scores: Tensor, apart: Tensor, class_sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Return L_con = Σ_i w_i log(1 + A_i) of the scores log φ, w_i = 1/(|C| n_k), and its slope.

    The slope of log(1 + A) in log A is A / (1 + A).
    """
    factors = _Factors.of(scores, apart)
    weights = class_weights(class_sizes) * factors.has_negative
    slope = weights * factors.log_factor.sigmoid()
    value = torch.dot(weights, F.softplus(factors.log_factor))
    return value, factors.slopes.mul_(slope.unsqueeze(1))


def _mean_log_linear(
    similarity: Tensor, apart: Tensor, class_sizes: Tensor, tau: float
) -> tuple[Tensor, Tensor]:
    """Return the same for φ(u) = u + EPSILON, of the cosines."""
    kernel = _linear_kernel(similarity, tau)
    value, slope = _mean_log(kernel.log(), apart, class_sizes)
    return value, slope.div_(kernel).div_(-tau).mul_(similarity <= 1)


def _linear_kernel(similarity: Tensor, tau: float) -> Tensor:
    return (1 - similarity).clamp_min(0) / tau + EPSILON


def _check(kernel: str) -> None:
    """Raise ValueError for an unknown kernel."""
    if kernel not in KERNELS:
        raise ValueError(f"unknown kernel {kernel!r}; there are: {', '.join(KERNELS)}")
