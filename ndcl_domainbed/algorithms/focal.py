"""Focal loss."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.backend import ERM
from ndcl_domainbed.hparams import NOT_NEGATIVE, Hparam
from ndcl_domainbed.testbed.algorithms.base import Minibatches, concatenate
from ndcl_domainbed.testbed.algorithms.descent import OneLoss


def focal_loss(logits: Tensor, y: Tensor, gamma: float) -> Tensor:
    """Return the mean of (1 - p_y)^γ · (-log p_y) over samples, with p the softmax.

    ``logits`` are (B, K), ``y`` (B,), γ = ``gamma`` ≥ 0 (Eq. 4, without its class weights).
    1 - p_y is kept above 1e-12, so the gradient is finite for γ < 1 and a perfect prediction.
    """
    losses = F.cross_entropy(logits, y, reduction="none")
    doubt = -torch.expm1(-losses)
    return (doubt.clamp(min=1e-12).pow(gamma) * losses).mean()


class Focal(OneLoss, ERM):
    """Focal loss: the cross-entropy of samples that are predicted well weighs less.

    Lin, Goyal, Girshick, He & Dollár, "Focal Loss for Dense Object Detection", ICCV 2017,
    arXiv:1708.02002, with softmax and without class weights.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "gamma": Hparam(1.0, lambda rng: float(0.5 * 10 ** rng.uniform(0, 1)), within=NOT_NEGATIVE)
    }

    def compute_loss(self, minibatches: Minibatches) -> Tensor:
        """Return the mean focal loss of all samples."""
        x, y = concatenate(minibatches)
        return focal_loss(self.predict(x), y, self.hparams["gamma"])
