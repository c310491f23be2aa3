"""Re-weighted cross-entropy: intra-class compactness, every class counting once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.losses.masks import masked_logsumexp, match_mask
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

    Two samples of class 0, with probabilities 1/2 and 1/4, have the weights 2/6 and 4/6:

    >>> logits = torch.tensor([[0.5, 0.5], [0.25, 0.75]]).log()
    >>> reweighted_cross_entropy(logits, torch.tensor([0, 0]))  # 2/6 log 2 + 4/6 log 4
    tensor(1.1552)
    """
    if len(logits) == 0:
        return logits.sum()
    logits, prior_weights = _apply_prior(logits, labels, domains, prior)
    losses = F.cross_entropy(logits, labels, reduction="none")
    weights = _softmax_within_classes(losses.detach(), labels)
    number_of_classes = weights.sum()  # the weights of each class sum to 1
    return (weights * prior_weights * losses).sum() / number_of_classes


def _softmax_within_classes(values: Tensor, labels: Tensor) -> Tensor:
    """Return exp(v_i) / Σ_j exp(v_j) over the samples j of the class of i, (N,)."""
    same_class = match_mask(labels, labels)
    log_sums = masked_logsumexp(values.expand(len(values), -1), same_class)
    return (values - log_sums).exp()


def _apply_prior(
    logits: Tensor, labels: Tensor, domains: Tensor | None, prior: DomainClassPrior | None
) -> tuple[Tensor, Tensor | float]:
    """Return the logits with the prior's offsets and the weight r of each sample's loss, (N,)."""
    if prior is None or (prior.weights is None and prior.offsets is None):
        return logits, 1.0
    if domains is None:
        raise ValueError("a prior needs to know the domain of each sample: give `domains`.")
    weights = None if prior.weights is None else prior.weights[domains, labels]
    if prior.offsets is not None:
        offsets = prior.offsets[domains]
        if weights is not None:  # a sample of weight 0 may have its own class masked: 0 * inf
            offsets = torch.where(weights[:, None] > 0, offsets, 0.0)
        logits = logits + offsets
    return logits, 1.0 if weights is None else weights
