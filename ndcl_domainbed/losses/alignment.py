"""Prediction-central alignment: the posteriors of a class agree across domains."""

from __future__ import annotations

import torch
from torch import Tensor

from ndcl_domainbed.losses.cosines import cosines
from ndcl_domainbed.losses.masks import (
    masked_logsumexp,
    match_mask,
    other_mask,
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

    Two classes in two domains each; each prototype has one of its class and two at a right angle:

    >>> prototypes = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> prototype_alignment(prototypes, torch.tensor([0, 0, 1, 1]))  # -log [e / (e + 2)]
    tensor(0.5514)
    """
    if len(prototypes) == 0:
        return zero_with_gradient(prototypes)
    active = torch.ones_like(classes) if active is None else active
    same_class = match_mask(classes, classes)
    number = (same_class & active.bool()).sum(dim=1).to(prototypes.dtype)  # m_k
    kept = active.bool() & (number >= 2)
    others = other_mask(len(classes), classes.device) & kept
    scores = cosines(prototypes, prototypes) / tau
    losses = masked_logsumexp(scores, others) - masked_logsumexp(scores, others & same_class)
    shares = kept / number.clamp_min(1)  # those of a class sum to 1
    number_of_classes = shares.sum().clamp_min(1)
    return (shares * torch.where(kept, losses, 0.0)).sum() / number_of_classes
