"""InfoNCE in the place of the negatives-dominant contrast, for ablation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.losses.cosines import cosines
from ndcl_domainbed.losses.masks import (
    masked_logsumexp,
    match_mask,
    mean_over_classes,
    mismatch_mask,
    other_mask,
    zero_with_gradient,
)


def infonce_contrast(
    anchors: Tensor,
    labels: Tensor,
    negatives: Tensor,
    negative_classes: Tensor,
    *,
    tau: float = 1.0,
) -> Tensor:
    """Return the InfoNCE loss with one positive at a time in the numerator, a scalar >= 0.

    The loss of anchor i and positive p is -log [e(s_ip) / (e(s_ip) + Σ_n e(s_in))] with
    e(s) = exp(s/τ) of the cosine; n runs over the samples of other classes in the batch and the
    synthetic negatives of the anchor's class. It is averaged over the positives of an anchor,
    then over the anchors of a class, then over the classes in the batch, so that only the term
    differs from :func:`ndcl_domainbed.losses.negatives.negatives_contrast`, whose arguments it
    takes. An anchor without positives adds 0; a batch of one class without synthetic negatives
    gives 0 with gradient 0. ``negatives`` may be empty. Source: van den Oord, Li & Vinyals,
    arXiv:1807.03748, Eq. 4.

    Two equal anchors and a synthetic negative at a right angle: -log [e / (e + 1)].

    >>> anchors, labels = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 0])
    >>> infonce_contrast(anchors, labels, torch.tensor([[0.0, 1.0]]), torch.tensor([0]))
    tensor(0.3133)
    """
    if len(anchors) == 0:
        return zero_with_gradient(anchors, negatives)
    real, synthetic = cosines(anchors, anchors) / tau, cosines(anchors, negatives) / tau
    opponents = [mismatch_mask(labels, labels), match_mask(labels, negative_classes)]
    log_negatives = masked_logsumexp(
        torch.cat([real, synthetic], dim=1), torch.cat(opponents, dim=1)
    )
    terms = -F.logsigmoid(real - log_negatives[:, None])  # of each anchor and positive
    same_class = match_mask(labels, labels)
    positive = same_class & other_mask(len(labels), labels.device)
    number_of_positives = positive.sum(dim=1).clamp_min(1)
    losses = torch.where(positive, terms, 0.0).sum(dim=1) / number_of_positives
    return mean_over_classes(losses, same_class.sum(dim=1))
