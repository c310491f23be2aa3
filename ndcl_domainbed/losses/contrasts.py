"""InfoNCE and SupCon in place of the negatives-dominant contrast, for ablation.

Both take the arguments of :func:`ndcl_domainbed.losses.negatives.negatives_contrast` and average as
it does, so only the term of an anchor differs: it scores *similarity*, by e(s) = exp(s/τ) of the
cosine s. Opponents are samples of other classes in the batch and the synthetic negatives of the
anchor's class. An anchor without positives adds 0; ``negatives`` may be empty; a batch of one class
without synthetic negatives gives 0 with gradient 0.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.losses.cosines import cosines
from ndcl_domainbed.losses.masks import (
    masked_logsumexp,
    match_mask,
    mean_over_classes,
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

    The loss of anchor i and positive p is -log [e(s_ip) / (e(s_ip) + Σ_n e(s_in))], n over the
    opponents. It is averaged over the positives of an anchor, then over the anchors of a class,
    then over the classes in the batch. Source: van den Oord, Li & Vinyals, arXiv:1807.03748, Eq. 4.

    Two equal anchors and a synthetic negative at a right angle: -log [e / (e + 1)].

    >>> anchors, labels = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 0])
    >>> infonce_contrast(anchors, labels, torch.tensor([[0.0, 1.0]]), torch.tensor([0]))
    tensor(0.3133)
    """
    if len(anchors) == 0:
        return zero_with_gradient(anchors, negatives)
    same_class, synthetic = match_mask(labels, labels), match_mask(labels, negative_classes)
    positive = same_class & other_mask(len(labels), labels.device)
    real, scores = _scores(anchors, negatives, tau)
    log_negatives = masked_logsumexp(scores, torch.cat([~same_class, synthetic], dim=1))
    terms = -F.logsigmoid(real - log_negatives[:, None])  # of each anchor and positive
    number_of_positives = positive.sum(dim=1).clamp_min(1)
    losses = torch.where(positive, terms, 0.0).sum(dim=1) / number_of_positives
    return mean_over_classes(losses, same_class.sum(dim=1))


def supcon_contrast(
    anchors: Tensor,
    labels: Tensor,
    negatives: Tensor,
    negative_classes: Tensor,
    *,
    tau: float = 1.0,
) -> Tensor:
    """Return the supervised contrastive loss, positives averaged outside the log, >= 0.

    The loss of anchor i is -mean over its positives p of log [e(s_ip) / Σ_a e(s_ia)], a over the
    other positives and the opponents. It is averaged over the anchors of a class, then over the
    classes in the batch. An anchor without any opponent adds 0. Source: Khosla et al., NeurIPS
    2020, arXiv:2004.11362, Eq. 2.

    Two equal anchors and a synthetic negative at a right angle: -log [e / (e + 1)].

    >>> anchors, labels = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 0])
    >>> supcon_contrast(anchors, labels, torch.tensor([[0.0, 1.0]]), torch.tensor([0]))
    tensor(0.3133)
    """
    if len(anchors) == 0:
        return zero_with_gradient(anchors, negatives)
    same_class, synthetic = match_mask(labels, labels), match_mask(labels, negative_classes)
    others = other_mask(len(labels), labels.device)
    positive = same_class & others
    real, scores = _scores(anchors, negatives, tau)
    log_all = masked_logsumexp(scores, torch.cat([others, synthetic], dim=1))
    number_of_positives = positive.sum(dim=1)
    positive_sums = torch.where(positive, real, 0.0).sum(dim=1)
    losses = log_all - positive_sums / number_of_positives.clamp_min(1)
    has_opponent = ~same_class.all(dim=1) | synthetic.any(dim=1)
    has_loss = (number_of_positives > 0) & has_opponent
    return mean_over_classes(torch.where(has_loss, losses, 0.0), same_class.sum(dim=1))


def _scores(anchors: Tensor, negatives: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """Return s/τ between the N anchors, (N, N), and the same with the M negatives, (N, N + M)."""
    real = cosines(anchors, anchors) / tau
    return real, torch.cat([real, cosines(anchors, negatives) / tau], dim=1)
