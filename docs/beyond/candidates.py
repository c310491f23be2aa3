r"""NDCL with other uses of the class prior: the candidates of docs/beyond.md.

ndcl-domainbed sweep launch --own_code docs/beyond/candidates.py --sweep docs/beyond/choose.yaml ...
"""

from __future__ import annotations

from typing import ClassVar

import torch

from ndcl_domainbed import losses
from ndcl_domainbed.algorithms.ndcl import NDCL
from ndcl_domainbed.hparams import AT_LEAST_ONE, Hparam
from ndcl_domainbed.losses.cosines import cosines
from ndcl_domainbed.losses.masks import zero_with_gradient

AUTO_PRIOR = {
    "class_prior": Hparam("logit", choices=("logit",)),
    "prior_strength": Hparam("auto", choices=("auto",)),
}


class NDCL_AdjustedSpace(NDCL):
    """L_con, L_const and the mixing see p = softmax(z + log π), π the class prior of all sources.

    So a prediction is compared as the training distribution would have it, where common classes
    are likelier, and not as a test image is predicted.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = AUTO_PRIOR

    def __init__(self, input_shape, num_classes, num_domains, hparams):
        super().__init__(input_shape, num_classes, num_domains, hparams)
        counts = torch.as_tensor(hparams.label_counts, dtype=torch.get_default_dtype())
        pooled = losses.logit_prior(losses.smooth_counts(counts, "pooled")).offsets[0]
        self.register_buffer("pooled_offsets", pooled, persistent=False)

    def _embed(self, x):
        logits, _ = super()._embed(x)
        return logits, (logits + self.pooled_offsets).softmax(dim=1)


class NDCL_Memory(NDCL):
    """L_con has the last ``memory`` anchors of a class, without gradient, as more positives.

    A class that a batch has once, as rare ones mostly are, then has positives nevertheless.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = AUTO_PRIOR | {
        "memory": Hparam(4, within=AT_LEAST_ONE),
    }

    def __init__(self, input_shape, num_classes, num_domains, hparams):
        super().__init__(input_shape, num_classes, num_domains, hparams)
        size = int(hparams["memory"])
        self.register_buffer("kept", torch.zeros(num_classes, size, num_classes))
        self.register_buffer("is_kept", torch.zeros(num_classes, size, dtype=torch.bool))

    def _compute_contrast(self, anchors, y, mixed, classes):
        found = _contrast_with_memory(anchors, y, mixed, classes, self.kept, self.is_kept)
        self._keep(anchors.detach(), y)
        return found

    def _keep(self, anchors, y):
        """Put the newest anchors of each class of the batch in front of its memory."""
        for k in y.unique().tolist():
            new = anchors[y == k]
            known = self.is_kept.new_ones(len(new))
            size = self.kept.shape[1]
            self.kept[k] = torch.cat([new, self.kept[k]])[:size]
            self.is_kept[k] = torch.cat([known, self.is_kept[k]])[:size]


def _contrast_with_memory(anchors, y, mixed, classes, kept, is_kept):
    """Return L_con with the kernel exp(1 - s), positives from the batch and from the memory."""
    if len(mixed) == 0:
        return zero_with_gradient(anchors)
    memory, owners = kept[is_kept], is_kept.nonzero()[:, 0]
    scores = (1 - cosines(anchors, torch.cat([anchors, memory, mixed]))).exp()
    in_batch = (y[:, None] == y) & ~torch.eye(len(y), dtype=torch.bool, device=y.device)
    positive = torch.cat([in_batch, y[:, None] == owners], dim=1)
    p = (scores[:, : positive.shape[1]] * positive).sum(dim=1)
    q = (scores[:, positive.shape[1] :] * (y[:, None] == classes)).sum(dim=1)
    terms = torch.where(q > 0, (p + q).log() - q.clamp_min(1e-12).log(), 0.0)
    return torch.stack([terms[y == k].mean() for k in y.unique()]).mean()
