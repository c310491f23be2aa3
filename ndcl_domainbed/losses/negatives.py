"""Negatives-dominant contrast: inter-class separation by scoring dissimilar negatives."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.losses.cosines import cosines
from ndcl_domainbed.losses.masks import (
    masked_logsumexp,
    match_mask,
    mean_over_classes,
    other_mask,
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
    over the synthetic negatives of that class; s is the cosine. The *negatives* are in the
    numerator and *dissimilarity* is scored, so the loss falls when negatives are far and positives
    near. An anchor adds log(1 + A_i) with A_i as in :func:`amplification_factor`.

    ``anchors`` (N, F) with ``labels`` (N,); ``negatives`` (M, F), where ``negative_classes`` (M,)
    names the class that each is a negative for (-1: none). ``kernel`` is 'exp' or 'linear'
    (φ(u) = u + 1e-4). A class with one sample, or without a negative, adds 0 and still is one of
    C; a batch without any negative (one class only) gives 0 with gradient 0. Memory grows as
    N (N + M). Raises ValueError for an unknown kernel. Source: Cao, Liu & Chen, ICML 2026,
    arXiv:2601.21999, the negatives-dominant contrastive loss.

    Two equal anchors and a negative at a right angle: P = exp(0), Q = exp(1).

    >>> anchors, labels = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 0])
    >>> negatives_contrast(anchors, labels, torch.tensor([[0.0, 1.0]]), torch.tensor([0]))
    tensor(0.3133)
    """
    if len(anchors) == 0 or len(negatives) == 0:
        return zero_with_gradient(anchors, negatives)
    log_p, log_q = _log_sums(anchors, labels, negatives, negative_classes, kernel, tau)
    losses = -F.logsigmoid(log_q - log_p)  # -log [Q / (P + Q)]
    has_negative = match_mask(labels, negative_classes).any(dim=1)
    class_sizes = match_mask(labels, labels).sum(dim=1)
    return mean_over_classes(torch.where(has_negative, losses, 0.0), class_sizes)


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

    >>> anchors, labels = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 0])
    >>> amplification_factor(anchors, labels, torch.tensor([[0.0, 1.0]]), torch.tensor([0]))
    tensor([0.3679, 0.3679])
    """
    if len(anchors) == 0 or len(negatives) == 0:
        return anchors.new_zeros(len(anchors))
    log_p, log_q = _log_sums(anchors, labels, negatives, negative_classes, kernel, tau)
    has_negative = match_mask(labels, negative_classes).any(dim=1)
    has_positive = match_mask(labels, labels).sum(dim=1) > 1
    return torch.where(has_negative & has_positive, (log_p - log_q).exp(), 0.0)


def _log_sums(
    anchors: Tensor,
    labels: Tensor,
    negatives: Tensor,
    negative_classes: Tensor,
    kernel: str,
    tau: float,
) -> tuple[Tensor, Tensor]:
    """Return log P_i over the positives and log Q_i over the negatives of each anchor, (N,)."""
    positive = match_mask(labels, labels) & other_mask(len(labels), labels.device)
    negative = match_mask(labels, negative_classes)
    log_p = masked_logsumexp(_log_kernel(cosines(anchors, anchors), kernel, tau), positive)
    log_q = masked_logsumexp(_log_kernel(cosines(anchors, negatives), kernel, tau), negative)
    return log_p, log_q


def _log_kernel(similarity: Tensor, kernel: str, tau: float) -> Tensor:
    """Return log φ((1 - s)/τ); ValueError for an unknown kernel."""
    if kernel == "exp":
        return (1 - similarity) / tau
    if kernel == "linear":
        return ((1 - similarity).clamp_min(0) / tau + EPSILON).log()
    raise ValueError(f"unknown kernel {kernel!r}; choose one of {', '.join(KERNELS)}.")
