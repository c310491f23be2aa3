"""InfoNCE in the place of the negatives-dominant contrast, for ablation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.losses.cosines import cosines
from ndcl_domainbed.losses.pieces import (
    Pairs,
    logsumexp_of_rest,
    mean_over_classes,
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
    """
    if len(anchors) == 0:
        return zero_with_gradient(anchors, negatives)
    pairs = Pairs.of(labels, negative_classes, anchors.dtype)
    number = len(anchors)
    scores = cosines(anchors, negatives, scale=1 / tau)
    of_class = torch.cat([1 - pairs.apart[:, :number], pairs.apart[:, number:]], dim=1)
    log_negative = logsumexp_of_rest(scores, of_class)
    terms = -F.logsigmoid(scores[:, :number] - log_negative[:, None])
    summed = torch.where(pairs.positives(), terms, 0.0).sum(dim=1)
    losses = summed / (pairs.class_sizes - 1).clamp_min(1)
    return mean_over_classes(losses, pairs.class_sizes)
