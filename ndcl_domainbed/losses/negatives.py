"""Negatives-dominant contrast: inter-class separation by scoring dissimilar negatives."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.losses.pieces import (
    Pairs,
    anchor_pairs,
    masked_logsumexp,
    mean_over_classes,
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
    log_factor, active = _log_amplification(pairs, kernel, tau)
    losses = -F.logsigmoid(-log_factor)  # log(1 + A)
    return mean_over_classes(torch.where(active, losses, 0.0), pairs.class_sizes)


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
    log_factor, active = _log_amplification(pairs, kernel, tau)
    return torch.where(active, log_factor, -torch.inf).exp()


def _log_amplification(pairs: Pairs, kernel: str, tau: float) -> tuple[Tensor, Tensor]:
    """Return log A_i (N,), finite for every anchor, and which anchors have a loss (N,)."""
    scores = _log_kernel(1 - pairs.similarity, kernel, tau)
    number, synthetic = len(pairs.same), pairs.synthetic()
    log_positive = masked_logsumexp(scores[:, :number], pairs.positives())
    log_negative = masked_logsumexp(scores[:, number:], synthetic)
    active = (pairs.class_sizes > 1) & synthetic.any(dim=1)
    return log_positive - log_negative, active


def _log_kernel(dissimilarity: Tensor, kernel: str, tau: float) -> Tensor:
    """Return log φ(u/τ)."""
    if kernel == "exp":
        return dissimilarity / tau
    if kernel == "linear":
        return torch.log(dissimilarity.clamp_min(0) / tau + EPSILON)
    raise ValueError(f"unknown kernel {kernel!r}; there are: {', '.join(KERNELS)}")
