"""Representation self-challenging."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.hparams import SHARE, Hparam, uniform
from ndcl_domainbed.testbed.algorithms.base import (
    Minibatches,
    Unlabeled,
    concatenate,
    step,
    to_floats,
)
from ndcl_domainbed.testbed.algorithms.erm import ERM


def quantile(values: Tensor, level: float) -> Tensor:
    """Return the quantile at ``level`` in [0, 1] along the last axis, which is kept.

    Linear interpolation between order statistics. A level that falls on one of them gives it
    exactly, where single precision arithmetic could land a rounding error beside it.
    """
    position = level * (values.shape[-1] - 1)
    below = min(math.floor(position + 1e-9), values.shape[-1] - 1)
    above = min(below + 1, values.shape[-1] - 1)
    ordered = values.sort(dim=-1).values
    return torch.lerp(
        ordered[..., below : below + 1],
        ordered[..., above : above + 1],
        max(position - below, 0.0),
    )


class RSC(ERM):
    """Representation Self-Challenging: mutes the features that the prediction rests on most.

    Huang, Wang, Xing & Huang, "Self-Challenging Improves Cross-Domain Generalization", ECCV 2020,
    arXiv:2007.02454.

    In the ``rsc_b_drop_factor`` of the samples that lose the most confidence by it, the features
    whose gradient is in the top ``rsc_f_drop_factor`` of their sample are muted. Values at a
    threshold are muted too, so a factor of 0 still mutes the largest.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "rsc_f_drop_factor": Hparam(1 / 3, uniform(0, 0.5), within=SHARE),
        "rsc_b_drop_factor": Hparam(1 / 3, uniform(0, 0.5), within=SHARE),
    }

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step on the cross-entropy of the masked features."""
        x, y = concatenate(minibatches)
        z = self.featurizer(x)
        loss = F.cross_entropy(self.classifier(z * self._mask(z.detach(), y)), y)
        step(self.optimizer, loss)
        return to_floats(loss=loss)

    def _mask(self, z: Tensor, y: Tensor) -> Tensor:
        """Return which features (B, D) stay."""
        z = z.requires_grad_()
        logits = self.classifier(z)
        (gradients,) = torch.autograd.grad(logits.gather(1, y[:, None]).sum(), z)
        kept = gradients < quantile(gradients, 1 - self.hparams["rsc_f_drop_factor"])
        with torch.no_grad():
            muted_logits = self.classifier(z * kept)
            confidence, muted = [f.softmax(1).gather(1, y[:, None]) for f in (logits, muted_logits)]
            change = (confidence - muted).squeeze(1)
            is_spared = change < quantile(change, 1 - self.hparams["rsc_b_drop_factor"])
        return kept | is_spared[:, None]
