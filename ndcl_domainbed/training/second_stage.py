"""Classifier re-training on a frozen trunk, the second stage of decoupled training."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imbalance_splits.errors import InputError
from imbalance_splits.seeds import seed_hash
from ndcl_domainbed.training.batches import Batch
from ndcl_domainbed.training.evaluation import evaluation_mode
from ndcl_domainbed.training.seeding import generators_restored, seed_cpu


class SecondStage:
    """cRT: a new classifier, trained on class-balanced batches over the features of a frozen trunk.

    Kang, Xie, Rohrbach, Yan, Gordo, Feng & Kalantidis, "Decoupling Representation and Classifier
    for Long-Tailed Recognition", ICLR 2020, arXiv:1910.09217, section 4.1. The classifier starts
    from random weights that follow from ``seed``; ``steps`` updates of Adam on the mean
    cross-entropy, with a learning rate that falls from ``lr`` to 0 along a cosine.

    ``algorithm`` predicts by classifier(featurizer(x)): see :func:`check_decoupled`.
    """

    def __init__(self, algorithm: Any, seed: int, steps: float, lr: float) -> None:
        self.steps = int(steps)
        self._algorithm = algorithm
        self._seed = seed_hash(seed, "second stage")
        self._lr = lr

    def start(self) -> SecondStage:
        """Make the new classifier and its optimizer; return this stage."""
        old: nn.Module = self._algorithm.classifier
        device = next(old.parameters()).device
        with generators_restored():
            seed_cpu(self._seed)
            self._classifier = copy.deepcopy(old).cpu()
            for module in self._classifier.modules():
                if callable(reset := getattr(module, "reset_parameters", None)):
                    reset()
            self._classifier.to(device).requires_grad_(True)
            self._optimizer = torch.optim.Adam(self._classifier.parameters(), lr=self._lr)
            self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self._optimizer, self.steps)
        self._made = 0
        return self

    def update(self, minibatches: Sequence[Batch]) -> None:
        """Make one update of the classifier, while there are some to make."""
        if self._made == self.steps:
            return
        self._made += 1
        x, y = (torch.cat(parts) for parts in zip(*minibatches, strict=True))
        with torch.no_grad():
            features = self._algorithm.featurizer(x)
        with torch.enable_grad():
            loss = F.cross_entropy(self._classifier(features), y)
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            self._schedule.step()

    def predict(self, x: Tensor, _plain: Tensor) -> Tensor:
        """Return the logits (N, K) of the new classifier."""
        return self._classifier(self._algorithm.featurizer(x))


def check_decoupled(algorithm: Any, input_shape: Sequence[int]) -> None:
    """Raise InputError unless ``algorithm`` predicts by classifier(featurizer(x)), as it is now."""
    device = next(algorithm.parameters()).device
    count = 2 * math.prod(input_shape)
    x = torch.linspace(-1, 1, count, device=device).reshape(2, *input_shape)
    try:
        with generators_restored(), evaluation_mode(algorithm):
            logits = algorithm.classifier(algorithm.featurizer(x))
            is_decoupled = torch.equal(logits, algorithm.predict(x))
    except (AttributeError, RuntimeError, TypeError):
        is_decoupled = False
    if not is_decoupled:
        raise InputError(
            f"--variants crt: {type(algorithm).__name__} does not predict by a classifier on top "
            "of a featurizer, so there is none to train again; leave crt out for it."
        )
