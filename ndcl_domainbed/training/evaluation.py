"""What a model gets right: one pass over a split gives every accuracy that a record holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

from imbalance_splits import shots
from imbalance_splits.datasets import SplitDataset
from ndcl_domainbed.training.batches import Batch

PLAIN = ""
"""Names the algorithm's own predictions among those of its variants."""

Variant = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From inputs, and the algorithm's logits (N, K) of them, to other logits (N, K)."""


class ClassCounts(NamedTuple):
    """Hits and images of each class in a split, and images taken for it: int64 arrays (K,)."""

    correct: np.ndarray
    total: np.ndarray
    predicted: np.ndarray


@contextmanager
def evaluation_mode(algorithm: Any) -> Iterator[None]:
    """Put ``algorithm`` in evaluation mode, without gradients, while the block runs."""
    was_training = algorithm.training
    algorithm.train(False)
    try:
        with torch.inference_mode():
            yield
    finally:
        algorithm.train(was_training)


def count_hits(
    algorithm: Any,
    variants: Mapping[str, Variant],
    batches: Iterable[Batch],
    num_classes: int,
    device: torch.device,
) -> dict[str, ClassCounts]:
    """Count the hits per class of ``algorithm.predict``, under PLAIN, and of its ``variants``.

    ``device`` is read at the end alone.
    A variant gives its logits (N, K) from the inputs and the algorithm's own logits.
    """
    zeros = torch.zeros(num_classes, dtype=torch.int64, device=device)
    total = zeros.clone()
    correct = {name: zeros.clone() for name in (PLAIN, *variants)}
    predicted = {name: zeros.clone() for name in correct}
    for x, y in batches:
        plain = algorithm.predict(x)
        total.index_add_(0, y, torch.ones_like(y))
        for name in correct:
            logits = plain if name == PLAIN else variants[name](x, plain)
            found = logits.argmax(1)
            correct[name].index_add_(0, y, (found == y).to(torch.int64))
            predicted[name].index_add_(0, found, torch.ones_like(found))
    taken = total.cpu().numpy()
    return {
        name: ClassCounts(correct[name].cpu().numpy(), taken, predicted[name].cpu().numpy())
        for name in correct
    }


def accuracies(dataset: SplitDataset, count: Callable[[int], ClassCounts]) -> dict[str, Any]:
    """Return the accuracy of every split and of its shot groups.

    Of the target also macro-F1 and the accuracy on each class; of the validation splits the
    latter, under a key of its own, if there are any.
    ``count`` counts the hits in the split with the given index.
    """
    values: dict[str, Any] = {}
    per_class: dict[str, list[float | None]] = {}
    of_validation: dict[str, list[float | None]] = {}
    for index, (env, split) in enumerate(dataset.evaluation_sets):
        name = f"env{env}_{split}"
        correct, total, predicted = count(index)
        values[f"{name}_acc"] = shots.overall_accuracy(correct, total)
        if dataset.shot_groups is not None:
            groups = shots.group_accuracies(correct, total, dataset.shot_groups)
            for group, accuracy in groups.items():
                values[f"{name}_{shots.RECORD_SUFFIXES[group]}"] = accuracy
        if env in dataset.test_envs:
            values[f"{name}_macro_f1"] = shots.macro_f1(correct, total, predicted)
            per_class[name] = shots.class_accuracies(correct, total)
        elif split == "val":
            of_validation[name] = shots.class_accuracies(correct, total)
    validation = {"val_class_acc": of_validation} if of_validation else {}
    return values | {"class_acc": per_class} | validation


def validation_split(dataset: SplitDataset) -> str:
    """Return which split of the sources validates: the balanced "val", or else "out"."""
    balanced = all(len(dataset.evaluation_sets.get((env, "val"), ())) for env in dataset.sources)
    return "val" if balanced else "out"


def validation_score(dataset: SplitDataset, record: Mapping[str, Any]) -> float | None:
    """Return the score of a record by which a step is selected; None if an accuracy is missing.

    The mean over the sources of the accuracy on the balanced validation split or, on an ordinary
    split, on what is held out: what :mod:`ndcl_domainbed.results.selection` calls balanced and
    training.
    """
    split = validation_split(dataset)
    found: list[Any] = [record.get(f"env{env}_{split}_acc") for env in dataset.sources]
    if None in found:
        return None
    score = float(np.mean(found))
    return round(score, shots.SCORE_DECIMALS) if split == "val" else score
