"""Supervised contrast (SupCon) in the place of the negatives-dominant contrast, for ablation."""

from __future__ import annotations

import torch
from torch import Tensor

from ndcl_domainbed.losses.cosines import cosines
from ndcl_domainbed.losses.pieces import (
    Pairs,
    logsumexp_of_rest,
    mean_over_classes,
    zero_with_gradient,
)


def supcon_contrast(
    anchors: Tensor,
    labels: Tensor,
    negatives: Tensor,
    negative_classes: Tensor,
    *,
    tau: float = 1.0,
) -> Tensor:
    """Return the supervised contrastive loss, positives averaged outside the log, >= 0.

    The loss of anchor i is -mean over its positives p of log [e(s_ip) / Σ_a e(s_ia)] with
    e(s) = exp(s/τ) of the cosine; a runs over all other samples of the batch and the synthetic
    negatives of the anchor's class. It is averaged over the anchors of a class, then over the
    classes in the batch, so that only the term differs from
    :func:`ndcl_domainbed.losses.negatives.negatives_contrast`, whose arguments it takes. An
    anchor without positives adds 0, and so does one without any negative, in the batch or
    synthetic: a batch of one class gives 0 with gradient 0, as in the other contrasts.
    ``negatives`` may be empty. Source: Khosla et al., NeurIPS 2020, arXiv:2004.11362, Eq. 2.
    """
    if len(anchors) == 0:
        return zero_with_gradient(anchors, negatives)
    pairs = Pairs.of(labels, negative_classes, anchors.dtype)
    number = len(anchors)
    scores = cosines(anchors, negatives, scale=1 / tau)
    synthetic, positives = pairs.synthetic(), pairs.positives()
    itself = torch.eye(number, dtype=anchors.dtype, device=anchors.device)
    left_out = torch.cat([itself, pairs.apart[:, number:]], dim=1)
    log_all = logsumexp_of_rest(scores, left_out)
    number_of_positives = pairs.class_sizes - 1
    summed = torch.where(positives, scores[:, :number], 0.0).sum(dim=1)
    losses = log_all - summed / number_of_positives.clamp_min(1)
    has_negative = (pairs.class_sizes < number) | synthetic.any(dim=1)
    active = (number_of_positives > 0) & has_negative
    return mean_over_classes(torch.where(active, losses, 0.0), pairs.class_sizes)
