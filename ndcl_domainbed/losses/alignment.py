"""Prediction-central alignment: the posteriors of a class agree across domains."""

from __future__ import annotations

import torch
from torch import Tensor

from ndcl_domainbed.losses.pieces import masked_logsumexp, unit_rows, zero_with_gradient


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
    number = same.sum(dim=1)
    kept = number >= 2 if active is None else (number >= 2) & active
    others = kept.expand(len(kept), -1).clone().fill_diagonal_(False)
    rows = unit_rows(prototypes)
    scores = rows @ rows.T / tau
    losses = masked_logsumexp(scores, others) - masked_logsumexp(scores, others & same)
    weights = kept.to(losses.dtype) / number.clamp_min(1)
    shared_classes = weights.sum().clamp_min(1)
    return torch.where(kept, losses, 0.0).mul(weights).sum() / shared_classes
