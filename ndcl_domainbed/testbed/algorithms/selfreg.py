"""Self-supervised contrastive regularization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ndcl_domainbed.hparams import Hparam
from ndcl_domainbed.testbed.algorithms.base import (
    Minibatches,
    Shape,
    Unlabeled,
    concatenate,
    step,
    to_floats,
)
from ndcl_domainbed.testbed.algorithms.erm import ERM

_FEATURE_WEIGHT = 0.3


def _projection(width: int) -> nn.Sequential:
    """Return the class-specific domain perturbation layer: a three-layer MLP, (B, D) to (B, D)."""
    hidden = width if width == 2048 else 2 * width
    return nn.Sequential(
        nn.Linear(width, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, width),
        nn.BatchNorm1d(width),
    )


def _shuffles_within_classes(class_sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return two permutations (B,) of samples sorted by class that keep each class in place."""
    first, second = [], []
    start = 0
    for size in class_sizes:
        first.append(torch.randperm(size) + start)
        second.append(torch.randperm(size) + start)
        start += size
    return torch.cat(first), torch.cat(second)


class SelfReg(ERM):
    """SelfReg: samples of one class, from whatever domain, should have the same features.

    Kim, Yoo, Park, Kim & Lee, "SelfReg: Self-supervised Contrastive Regularization for Domain
    Generalization", ICCV 2021, arXiv:2104.09841.

    Each sample is pulled toward a random one of its class (perhaps itself), and toward a mixture
    (λ ~ Beta(1/2, 1/2)) of two, in the logits and, through the projection ``cdpl``, in the features
    (weight 0.3). The dissimilarities weigh min(1, cross-entropy), a constant for the gradient. A
    minibatch of one sample has nothing to compare, so its loss is the cross-entropy alone.

    In DomainBed the projection is never trained, since its optimizer lacks it. The same happens
    here if ``as_published`` is False or missing, as it is in DomainBed's own hyper-parameters.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {"as_published": Hparam(True)}

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
    ) -> None:
        super().__init__(input_shape, num_classes, num_domains, hparams)
        self.cdpl = _projection(self.featurizer.n_outputs)
        self.cdpl.requires_grad_(bool(self.hparams.get("as_published", False)))
        self.optimizer = self._adam([p for p in self.parameters() if p.requires_grad])

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step on the cross-entropy plus the dissimilarities within classes."""
        x, y = concatenate(minibatches)
        share = float(np.random.beta(0.5, 0.5))
        y, order = y.sort()
        z = self.featurizer(x[order])
        if len(y) > 1:
            logits, dissimilarity = self._compare(z, y, share)
            loss = F.cross_entropy(logits, y)
            loss = loss + loss.detach().clamp(max=1) * dissimilarity
        else:
            loss = F.cross_entropy(self.classifier(z), y)
        step(self.optimizer, loss)
        return to_floats(loss=loss)

    def _compare(self, z: Tensor, y: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """Return the logits, and the dissimilarity to another sample and to a mixture.

        They weigh λ = ``share`` and 1 - λ. ``y`` is sorted.
        """
        class_sizes = y.unique_consecutive(return_counts=True)[1].tolist()
        first, second = [p.to(y.device) for p in _shuffles_within_classes(class_sizes)]
        projected, logits = self.cdpl(z), self.classifier(z)
        to_other, to_mixture = z.new_zeros(()), z.new_zeros(())
        for own, candidates, weight in ((logits, logits, 1.0), (z, projected, _FEATURE_WEIGHT)):
            other = candidates[first]
            mixture = share * other + (1 - share) * candidates[second]
            to_other = to_other + weight * F.mse_loss(own, other)
            to_mixture = to_mixture + weight * F.mse_loss(own, mixture)
        return logits, share * to_other + (1 - share) * to_mixture
