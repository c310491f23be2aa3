"""Mixup between domains."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.hparams import POSITIVE, Hparam, power_uniform
from ndcl_domainbed.testbed.algorithms.base import (
    Minibatch,
    Minibatches,
    Unlabeled,
    mean,
    step,
    to_floats,
)
from ndcl_domainbed.testbed.algorithms.erm import ERM


class Mixup(ERM):
    """Inter-domain Mixup.

    Yan, Song, Li, Zou & Ren, "Improve Unsupervised Domain Adaptation with Mixup Training", 2020,
    arXiv:2001.00677; Xu et al., "Adversarial Domain Adaptation with Domain Mixup", AAAI 2020,
    arXiv:1912.01805.

    The domains, in random order, form a cycle; each is mixed with the next one, position by
    position, up to the smaller of their sizes, with one λ ~ Beta(α, α) per pair, α =
    ``mixup_alpha``. A single domain is mixed with itself, which is ERM.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "mixup_alpha": Hparam(0.2, power_uniform(10, -1, 1), within=POSITIVE)
    }

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step on the mean over pairs of the mixed cross-entropies."""
        order = torch.randperm(len(minibatches)).tolist()
        loss = mean(
            [
                self._mixed_risk(minibatches[first], minibatches[second])
                for first, second in zip(order, order[1:] + order[:1], strict=True)
            ]
        )
        step(self.optimizer, loss)
        return to_floats(loss=loss)

    def _mixed_risk(self, first: Minibatch, second: Minibatch) -> Tensor:
        size = min(len(first[1]), len(second[1]))
        (x_first, y_first), (x_second, y_second) = [
            (x[:size], y[:size]) for x, y in (first, second)
        ]
        alpha = self.hparams["mixup_alpha"]
        share = float(np.random.beta(alpha, alpha))
        logits = self.predict(share * x_first + (1 - share) * x_second)
        return share * F.cross_entropy(logits, y_first) + (1 - share) * F.cross_entropy(
            logits, y_second
        )
