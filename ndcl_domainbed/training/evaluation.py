"""What a model gets right: one pass over a split gives every accuracy that a record holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from ndcl_domainbed.training.batches import Batch


class Predictor(Protocol):
    """What evaluation needs of an algorithm."""

    training: bool

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, K)."""

    def train(self, mode: bool = True) -> Any:
        """Set training or evaluation mode."""


class ClassCounts(NamedTuple):
    """Hits and images of each class in a split: two int64 arrays (K,)."""

    correct: np.ndarray
    total: np.ndarray


def evaluate(
    algorithm: Predictor, batches: Iterable[Batch], num_classes: int, device: torch.device
) -> ClassCounts:
    """Count the hits of ``algorithm.predict`` per class, in evaluation mode, without gradients.

    The counts are summed on the device and read once.
    """
    correct = torch.zeros(num_classes, dtype=torch.int64, device=device)
    total = torch.zeros_like(correct)
    was_training = algorithm.training
    algorithm.train(False)
    try:
        with torch.inference_mode():
            for x, y in batches:
                labels = y.to(device, non_blocking=True)
                hits = algorithm.predict(x.to(device, non_blocking=True)).argmax(1) == labels
                total += torch.bincount(labels, minlength=num_classes)
                correct.index_add_(0, labels, hits.to(torch.int64))
    finally:
        algorithm.train(was_training)
    return ClassCounts(correct.cpu().numpy(), total.cpu().numpy())
