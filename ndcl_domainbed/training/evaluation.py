"""What a model gets right: one pass over a split gives every accuracy that a record holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from imbalance_splits import shots
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


def accuracies(dataset: Any, count: Callable[[int], ClassCounts]) -> dict[str, Any]:
    """Return the accuracy of every split, its shot groups', and the target's per class.

    ``dataset`` is split (see :mod:`imbalance_splits.datasets`); ``count`` counts the hits in the
    split with the given index.
    """
    values: dict[str, Any] = {}
    per_class: dict[str, list[float | None]] = {}
    for index, (env, split) in enumerate(dataset.evaluation_sets):
        name = f"env{env}_{split}"
        counts = count(index)
        values[f"{name}_acc"] = shots.overall_accuracy(*counts)
        if dataset.shot_groups is not None:
            for group, accuracy in shots.group_accuracies(*counts, dataset.shot_groups).items():
                values[f"{name}_{shots.RECORD_SUFFIXES[group]}"] = accuracy
        if env in dataset.test_envs:
            per_class[name] = shots.class_accuracies(*counts)
    return values | {"class_acc": per_class}
