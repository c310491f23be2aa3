"""Re-weighted cross-entropy: intra-class compactness, every class counting once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.losses.pieces import apart, softmax_of_rest
from ndcl_domainbed.losses.priors import DomainClassPrior


def reweighted_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    domains: Tensor | None = None,
    prior: DomainClassPrior | None = None,
) -> Tensor:
    """Return L_ce = (1/|C|) Σ_{k in C} Σ_{i in I_k} w_i r[d_i,k] l_i, a scalar >= 0.

    l_i is the cross-entropy of sample i, C the set of classes in the batch, I_k the samples of
    class k, and w_i = softmax over I_k of l, without gradient: hard samples weigh more, and the
    weights of a class sum to 1.

    ``logits`` is (N, K), ``labels`` (N,) in 0..K-1. With a ``prior`` (see
    :mod:`ndcl_domainbed.losses.priors`) ``domains`` (N,) gives the row of each sample in it. A
    sample that the prior weighs 0 adds nothing, but its class is still one of C. Source: Cao, Liu
    & Chen, ICML 2026, arXiv:2601.21999, the re-weighted cross-entropy.
    """
    if len(logits) == 0:
        return logits.sum()
    weights = None
    if prior is not None:
        logits, weights = _with_prior(logits, labels, domains, prior)
    losses = F.cross_entropy(logits, labels, reduction="none")
    detached = losses.detach()
    hardness = softmax_of_rest(detached, apart(labels, labels, losses.dtype)).diagonal()
    number_of_classes = hardness.sum()  # each class sums to 1
    if weights is not None:
        hardness = hardness * weights
    return torch.dot(hardness, losses) / number_of_classes


def _with_prior(
    logits: Tensor, labels: Tensor, domains: Tensor | None, prior: DomainClassPrior
) -> tuple[Tensor, Tensor | None]:
    """Return the logits as the prior shifts them and the weight (N,) of each sample's loss."""
    if prior.weights is None and prior.offsets is None:
        return logits, None
    if domains is None:
        raise ValueError("a prior needs to know the domain of each sample: give `domains`.")
    weights = None if prior.weights is None else prior.weights[domains, labels]
    if prior.offsets is not None:
        offsets = prior.offsets.index_select(0, domains)
        if weights is not None:  # a sample of weight 0 may have its own class masked: 0 * inf
            offsets = torch.where(weights[:, None] > 0, offsets, 0.0)
        logits = logits + offsets
    return logits, weights
