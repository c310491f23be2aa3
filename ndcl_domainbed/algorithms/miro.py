"""Mutual-information regularization."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ndcl_domainbed.backend import ERM
from ndcl_domainbed.hparams import NOT_NEGATIVE, POSITIVE, Hparam, choice
from ndcl_domainbed.testbed.algorithms.base import (
    Minibatches,
    Shape,
    Unlabeled,
    concatenate,
    step,
    to_floats,
)

_FIRST_VARIANCE, _MIN_VARIANCE = 0.1, 1e-5


def mutual_information_loss(mean: Tensor, variance: Tensor, oracle: Tensor) -> Tensor:
    """Return (1/2) mean [log σ² + (z_0 - μ)² / σ²] over samples and entries.

    It is -log q(z_0 | z) up to a constant, for the Gaussian q with means ``mean`` μ (B, D) and
    diagonal ``variance`` σ² (D,); its negative bounds the mutual information of z and the features
    ``oracle`` z_0 (B, D) from below.
    """
    return (variance.log() + (oracle - mean).pow(2) / variance).mean() / 2


class MIRO(ERM):
    """MIRO: keeps the mutual information of the features with those of the pretrained network.

    Cha, Lee, Park & Chun, "Domain Generalization by Mutual-Information Regularization with
    Pre-trained Models", ECCV 2022, arXiv:2203.10789, Eq. 4.

    =====================  =======  ==========================================================
    hparam                 default  meaning
    =====================  =======  ==========================================================
    ``mi_weight``          0.1      λ; the paper's four values are drawn
    ``encoder_lr_factor``  10       that of the encoders, as a multiple of ``lr``
    =====================  =======  ==========================================================

    L = CE + λ :func:`mutual_information_loss`, which is averaged over the entries of a feature, so
    λ means the same for networks of any width. The pretrained network is the featurizer as it was
    at the start, in eval mode. As in the paper the mean encoder is the identity, and the variance
    a positive vector that does not depend on the sample.

    The paper compares the outputs of several stages of the network; here it is the features alone,
    which every network has. Vectors are the pretrained features themselves: if the network on them
    has another width, the mean encoder is linear. A network without pretrained weights is
    pulled toward its own random ones.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "mi_weight": Hparam(0.1, choice([0.001, 0.01, 0.1, 1.0]), within=NOT_NEGATIVE),
        "encoder_lr_factor": Hparam(10.0, within=POSITIVE),
    }

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
    ) -> None:
        super().__init__(input_shape, num_classes, num_domains, hparams)
        width, is_vector = self.featurizer.n_outputs, len(input_shape) == 1
        oracle_width = input_shape[0] if is_vector else width
        self.pretrained: nn.Module = nn.Identity()
        if not is_vector:
            self.pretrained = copy.deepcopy(self.featurizer).requires_grad_(False).eval()
        same_width = width == oracle_width
        self.mean_encoder = nn.Identity() if same_width else nn.Linear(width, oracle_width)
        first = math.log(math.expm1(_FIRST_VARIANCE))  # softplus gives the variance back
        self.variance_bias = nn.Parameter(torch.full((oracle_width,), first))
        encoders = [*self.mean_encoder.parameters(), self.variance_bias]
        self.optimizer = torch.optim.Adam(
            [
                {"params": list(self.network.parameters())},
                {"params": encoders, "lr": hparams["encoder_lr_factor"] * hparams["lr"]},
            ],
            lr=hparams["lr"],
            weight_decay=hparams["weight_decay"],
        )

    def train(self, mode: bool = True) -> MIRO:
        """Set the mode; the pretrained network stays in eval mode."""
        super().train(mode)
        self.pretrained.eval()
        return self

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step on L; ``loss`` is the cross-entropy, ``penalty`` is without its weight."""
        x, y = concatenate(minibatches)
        z = self.featurizer(x)
        with torch.no_grad():
            oracle = self.pretrained(x)
        variance = F.softplus(self.variance_bias) + _MIN_VARIANCE
        loss = F.cross_entropy(self.classifier(z), y)
        penalty = mutual_information_loss(self.mean_encoder(z), variance, oracle)
        step(self.optimizer, loss + self.hparams["mi_weight"] * penalty)
        return to_floats(loss=loss, penalty=penalty)
