"""Supervised contrast (SupCon) in the place of the negatives-dominant contrast, for ablation."""

from __future__ import annotations

import torch
from torch import Tensor

from ndcl_domainbed.losses.cosines import cosines
from ndcl_domainbed.losses.masks import (
    masked_logsumexp,
    match_mask,
    mean_over_classes,
    other_mask,
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

    Two equal anchors and a synthetic negative at a right angle: -log [e / (e + 1)].

    >>> anchors, labels = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 0])
    >>> supcon_contrast(anchors, labels, torch.tensor([[0.0, 1.0]]), torch.tensor([0]))
    tensor(0.3133)
    """
    if len(anchors) == 0:
        return zero_with_gradient(anchors, negatives)
    others = other_mask(len(labels), labels.device)
    same_class, synthetic = match_mask(labels, labels), match_mask(labels, negative_classes)
    real = cosines(anchors, anchors) / tau
    scores = torch.cat([real, cosines(anchors, negatives) / tau], dim=1)
    log_all = masked_logsumexp(scores, torch.cat([others, synthetic], dim=1))
    positive = same_class & others
    number_of_positives = positive.sum(dim=1)
    positive_sums = torch.where(positive, real, 0.0).sum(dim=1)
    losses = log_all - positive_sums / number_of_positives.clamp_min(1)
    has_negative = ~same_class.all(dim=1) | synthetic.any(dim=1)
    has_loss = (number_of_positives > 0) & has_negative
    return mean_over_classes(torch.where(has_loss, losses, 0.0), same_class.sum(dim=1))
