"""Prediction-central alignment: the posteriors of a class agree across domains."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ndcl_domainbed.losses.pieces import cosines, keep, softmax_and_logsumexp, zero_with_gradient


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
    same = classes[:, None] == classes
    if active is not None:
        same = same & active
    number = same.sum(dim=1, dtype=prototypes.dtype)
    kept = number >= 2 if active is None else (number >= 2) & active
    weights = kept / number.clamp_min(1)
    weights = weights / weights.sum().clamp_min(1)  # each class that is left weighs 1 / |C'|
    return _Consistency.apply(cosines(prototypes) / tau, same, kept, weights)


class _Consistency(torch.autograd.Function):
    """L_const = Σ_a w_a (log Σ_b exp(s_ab) - log Σ_{b: k(b) = k(a)} exp(s_ab)), with its gradient.

    Of rows that ``kept`` (M,) leaves out the weight is 0. The slopes of the two are the softmax
    over all others and that over those of the same class.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, same: Tensor, kept: Tensor, weights: Tensor) -> Tensor:
        lowest = torch.finfo(scores.dtype).min
        scores = scores.masked_fill(~kept, lowest).fill_diagonal_(lowest)
        of_all, log_all = softmax_and_logsumexp(scores)
        of_same, log_same = softmax_and_logsumexp(keep(scores, same))
        ctx.save_for_backward(weights[:, None] * (of_all - of_same))
        return torch.dot(weights, log_all - log_same)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (slope,) = ctx.saved_tensors
        return gradient * slope, None, None, None
