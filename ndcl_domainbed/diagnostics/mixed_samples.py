"""Hard negatives made as NDCL makes them, from minibatches of a run's training images."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset, TensorDataset

from imbalance_splits.errors import InputError
from ndcl_domainbed.algorithms.ndcl import NDCL
from ndcl_domainbed.diagnostics.linear_probe import FOLDS
from ndcl_domainbed.diagnostics.saved_run import Outputs, SavedRun, join_outputs
from ndcl_domainbed.hard_negatives import fixed_class_budget, hard_negatives
from ndcl_domainbed.training import seeding
from ndcl_domainbed.training.batches import StepBatches, fetch

STEPS_PER_FOLD = 20
"""Minibatches drawn from each fold: as many draws of the mixing weight."""


class Samples(NamedTuple):
    """What a model computes from n samples.

    The labels of ``outputs`` are classes: a mixed sample's is the one that it is a negative for.
    ``folds`` (n,) says which fold of the training images a sample was made from; no image is in
    two. ``shares`` (n,) is the part that the weaker of two mixed images has, in [0, 0.5].
    """

    outputs: Outputs
    folds: np.ndarray
    shares: np.ndarray

    def take(self, rows: np.ndarray) -> Samples:
        """Return the given rows."""
        return Samples(self.outputs.take(rows), self.folds[rows], self.shares[rows])


class _Mixed(NamedTuple):
    """Inputs (n, ...) of mixed samples, their classes (n,) and their weights λ (n,)."""

    inputs: Tensor
    classes: Tensor
    lambdas: Tensor


def draw_samples(run: SavedRun, images: int, seed: int) -> dict[str, Samples]:
    """Return about ``images`` each of "real" images, "hard" negatives and "random" mixtures.

    Minibatches of the run's batch size are drawn, as in training, from at most ``images`` training
    images of each source domain, and mixed with NDCL's hyper-parameters: those of the run, or for
    another algorithm their defaults. The real images come from all domains alike. Raises
    InputError if no minibatch holds two classes.
    """
    read = [_read_images(training, images, seed) for training in run.dataset.train_sets]
    outputs = join_outputs([run.outputs(domain) for domain in read])
    x, y = (torch.cat(column) for column in zip(*(one.tensors for one in read), strict=True))
    sizes = [len(domain) for domain in read]
    domains = np.repeat(np.arange(len(read)), sizes)
    folds = np.concatenate([np.arange(size) % FOLDS for size in sizes])
    generator = torch.Generator().manual_seed(seed)
    per_batch = -(-images // (FOLDS * STEPS_PER_FOLD))
    hard, random, where = [], [], []
    for fold in range(FOLDS):
        members = [
            np.flatnonzero((domains == domain) & (folds == fold)) for domain in range(len(read))
        ]
        if not all(map(len, members)):
            continue  # a domain of fewer images than folds
        batches = StepBatches(
            [Subset(TensorDataset(x, y), rows.tolist()) for rows in members],
            int(run.hparams["batch_size"]), seed + fold,
            class_balanced=bool(run.hparams.get("class_balanced", False)),
        )  # fmt: skip
        for step in range(STEPS_PER_FOLD):
            drawn = [rows[batches.positions(step, d)] for d, rows in enumerate(members)]
            rows = torch.as_tensor(np.concatenate(drawn))
            made = _make_hard_negatives(run, x[rows], outputs.take(rows), generator)
            kept = torch.randperm(len(made.classes), generator=generator)[:per_batch]
            hard.append(_Mixed(*(column[kept] for column in made)))
            random.append(_make_random_mixtures(x[rows], y[rows], hard[-1].lambdas, generator))
            where += [fold] * len(kept)
    if not where:
        raise InputError(
            f"{run.folder}: the training images looked at are too few for minibatches of two "
            "classes; look at more with --images."
        )
    share = -(-images // len(read))
    chosen = np.concatenate(
        [
            start + np.random.RandomState(seed).permutation(size)[:share]
            for start, size in zip(np.cumsum([0, *sizes]), sizes, strict=False)
        ]
    )
    return {
        "real": Samples(outputs.take(chosen), folds[chosen], np.zeros(len(chosen))),
        "random": _compute_outputs(run, random, np.array(where)),
        "hard": _compute_outputs(run, hard, np.array(where)),
    }


def _read_images(training: Subset[Any], images: int, seed: int) -> TensorDataset:
    """Read at most ``images`` training images of a source domain, with training transforms."""
    order = np.random.RandomState(seed).permutation(len(training))[:images]
    subset: Subset[Any] = Subset(training.dataset, np.asarray(training.indices)[order].tolist())
    with seeding.generators_restored():
        x, y = fetch(subset, np.arange(len(order)), [seed + place for place in range(len(order))])
    return TensorDataset(x, y)


def _make_hard_negatives(
    run: SavedRun, x: Tensor, seen: Outputs, generator: torch.Generator
) -> _Mixed:
    """Return the hard negatives of one batch, as an update of NDCL would make them."""
    settings = run.hparams if isinstance(run.algorithm, NDCL) else {}
    rho, budget, per_pair = (
        settings.get(name, NDCL.HPARAMS[name].default)
        for name in ("mixup", "budget", "mixup_per_pair")
    )
    made = hard_negatives(
        x, seen.labels, seen.logits.softmax(dim=1), rho, generator, budget=budget,
        per_class=fixed_class_budget(int(run.hparams["batch_size"])), per_pair=per_pair,
    )  # fmt: skip
    kept = made.classes >= 0
    return _Mixed(made.inputs[kept], made.classes[kept], made.lambdas[kept])


def _make_random_mixtures(
    x: Tensor, y: Tensor, lambdas: Tensor, generator: torch.Generator
) -> _Mixed:
    """Return mixtures of random pairs of a batch, by the weights ``lambdas`` (n,)."""
    first, second = torch.randint(len(x), (2, len(lambdas)), generator=generator)
    weights = lambdas.view(-1, *[1] * (x.dim() - 1))
    return _Mixed(torch.lerp(x[second], x[first], weights), y[first], lambdas)


def _compute_outputs(run: SavedRun, mixed: list[_Mixed], folds: np.ndarray) -> Samples:
    """Return what the model computes from mixed samples."""
    inputs, classes, lambdas = (torch.cat(column) for column in zip(*mixed, strict=True))
    shares = torch.minimum(lambdas, 1 - lambdas).double().numpy()
    return Samples(run.outputs(TensorDataset(inputs, classes)), folds, shares)
