"""Prediction-central alignment: the posteriors of a class agree across domains."""

from __future__ import annotations

import torch
from torch import Tensor

from ndcl_domainbed.losses.cosines import cosine_loss
from ndcl_domainbed.losses.pieces import (
    apart,
    leave_out,
    softmax_and_logsumexp,
    zero_with_gradient,
)


def prototype_alignment(
    prototypes: Tensor, classes: Tensor, active: Tensor | None = None, *, tau: float = 1.0
) -> Tensor:
    """Return L_const = (1/|C'|) Σ_a (1/m_k(a)) -log Σ_{b != a, k(b) = k(a)} softmax_b(s_ab/τ).

    Each row of ``prototypes`` (M, F) is the prototype of one domain for the class that ``classes``
    (M,) names; rows that ``active`` (M,) leaves out take no part. Classes with a single prototype,
    so seen in one domain only, take no part either, not even as opponents. Of what remains, m_k is
    the number of prototypes of class k, C' the set of classes, s the cosine, and the softmax of row
    a runs over all other prototypes. A prototype weighs the same whatever its sample count.

    The scalar is >= 0; it is 0 with gradient 0 if no class is shared by two domains. Source: Cao,
    Liu & Chen, ICML 2026, arXiv:2601.21999, the prediction-central alignment.
    """
    if len(prototypes) == 0:
        return zero_with_gradient(prototypes)
    different = apart(classes, classes, prototypes.dtype)
    active = torch.ones_like(classes) if active is None else active
    takes_part = active.to(prototypes.dtype)
    number = takes_part.sum() - different @ takes_part
    kept = (number >= 2) * takes_part
    weights = kept / number.clamp_min(1)
    weights = weights / weights.sum().clamp_min(1)  # each class that is left weighs 1 / |C'|
    arguments = different, kept, weights
    return cosine_loss(_consistency, arguments, prototypes, scale=1 / tau)


def _consistency(
    scores: Tensor, different: Tensor, kept: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Return L_const = Σ_a w_a (log Σ_b exp(s_ab) - log Σ_{b: k(b) = k(a)} exp(s_ab)), and slope.

    Of rows where ``kept`` (M,) is 0 the weight is 0. The slopes of the two sums are the softmax
    over all others and that over those of the same class.
    """
    scores = leave_out(scores, 1 - kept).fill_diagonal_(torch.finfo(scores.dtype).min)
    of_all, log_all = softmax_and_logsumexp(scores)
    of_same, log_same = softmax_and_logsumexp(leave_out(scores, different))
    slope = of_all.sub_(of_same).mul_(weights.unsqueeze(1))
    return torch.dot(weights, log_all - log_same), slope
