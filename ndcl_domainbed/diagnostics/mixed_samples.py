"""Hard negatives made as NDCL makes them, from minibatches of a run's training images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset, TensorDataset

from imbalance_splits.errors import InputError
from ndcl_domainbed.algorithms.ndcl import NDCL
from ndcl_domainbed.diagnostics.probes import FOLDS
from ndcl_domainbed.diagnostics.saved_run import Outputs, SavedRun
from ndcl_domainbed.hard_negatives import fixed_class_budget, hard_negatives
from ndcl_domainbed.training import seeding
from ndcl_domainbed.training.batches import StepBatches, fetch

STEPS_PER_FOLD = 20
"""Minibatches drawn from each fold: as many draws of the mixing weight."""


class Samples(NamedTuple):
    """What a model makes of n samples.

    The labels of ``outputs`` are classes: a mixed sample's is the one that it is a negative for.
    ``folds`` (n,) says which fold of the training images a sample was made from; no image is in
    two. ``shares`` (n,) is the part that the weaker of two mixed images has, in [0, 0.5].
    """

    outputs: Outputs
    folds: np.ndarray
    shares: np.ndarray


class Drawn(NamedTuple):
    """Real training images, hard negatives, and mixtures of random pairs of the same batches."""

    real: Samples
    hard: Samples
    random: Samples


class _Pool(NamedTuple):
    """Training images of one domain, in memory, what the model makes of them, and their folds."""

    images: Tensor
    outputs: Outputs
    folds: np.ndarray
    subset: Subset[Any]
    """The same images, for drawing minibatches from."""


class _Mixed(NamedTuple):
    """Inputs (n, ...) of mixed samples, their classes (n,) and their weights λ (n,)."""

    inputs: Tensor
    classes: Tensor
    lambdas: Tensor


def draw_samples(run: SavedRun, images: int, seed: int) -> Drawn:
    """Return about ``images`` real images, hard negatives and random mixtures each.

    Minibatches of the run's batch size are drawn, as in training, from at most ``images`` training
    images of each source domain, and mixed with NDCL's hyper-parameters: those of the run, or for
    another algorithm their defaults. The real images come from all domains alike. Raises
    InputError if no minibatch holds two classes.
    """
    pools = [_read_pool(run, domain, images, seed) for domain in range(len(run.dataset.train_sets))]
    batches = FOLDS * STEPS_PER_FOLD
    generator = torch.Generator().manual_seed(seed)
    hard, random, folds = [], [], []
    for fold, (x, y, p) in _draw_minibatches(run, pools, seed):
        made = _make_hard_negatives(run, x, y, p, generator)
        drawn = torch.randperm(len(made.classes), generator=generator)[: -(-images // batches)]
        kept = _Mixed(*(column[drawn] for column in made))
        hard.append(kept)
        random.append(_make_random_mixtures(x, y, kept.lambdas, generator))
        folds += [fold] * len(kept.classes)
    if not folds:
        raise InputError(
            f"{run.folder}: the training images looked at are too few for minibatches of two "
            "classes; look at more with --images."
        )
    where = np.array(folds)
    return Drawn(
        _select_real(pools, images, seed),
        _compute_outputs(run, hard, where),
        _compute_outputs(run, random, where),
    )


def _read_pool(run: SavedRun, domain: int, images: int, seed: int) -> _Pool:
    """Read at most ``images`` training images of a source domain, with training transforms."""
    training = run.dataset.train_sets[domain]
    order = np.random.RandomState(seed).permutation(len(training))[:images]
    subset: Subset[Any] = Subset(training.dataset, np.asarray(training.indices)[order].tolist())
    seeds = [seed + place for place in range(len(order))]
    with seeding.generators_restored():
        x, y = fetch(subset, np.arange(len(order)), seeds)
    return _Pool(x, run.outputs(TensorDataset(x, y)), np.arange(len(order)) % FOLDS, subset)


def _draw_minibatches(
    run: SavedRun, pools: list[_Pool], seed: int
) -> Iterator[tuple[int, tuple[Tensor, Tensor, Tensor]]]:
    """Yield folds with minibatches drawn from them: inputs, labels and posteriors (N, K)."""
    places = [[np.flatnonzero(pool.folds == fold) for pool in pools] for fold in range(FOLDS)]
    for fold, kept in enumerate(places):
        if not all(map(len, kept)):
            continue  # a domain of fewer images than folds
        subsets = [
            Subset(pool.subset.dataset, np.asarray(pool.subset.indices)[rows].tolist())
            for pool, rows in zip(pools, kept, strict=True)
        ]
        drawer = StepBatches(
            subsets, int(run.hparams["batch_size"]), seed + fold,
            class_balanced=bool(run.hparams.get("class_balanced", False)),
        )  # fmt: skip
        for step in range(STEPS_PER_FOLD):
            rows = [kept[d][drawer.positions(step, d)] for d in range(len(pools))]
            yield fold, _join_rows(pools, rows)


def _join_rows(pools: list[_Pool], rows: list[np.ndarray]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the given rows of every pool as one batch, domains in order."""
    picked = [
        (pool.images[places], pool.outputs.labels[places], pool.outputs.logits[places])
        for pool, places in zip(pools, map(torch.as_tensor, rows), strict=True)
    ]
    x, y, logits = (torch.cat(column) for column in zip(*picked, strict=True))
    return x, y, logits.softmax(dim=1)


def _make_hard_negatives(
    run: SavedRun, x: Tensor, y: Tensor, p: Tensor, generator: torch.Generator
) -> _Mixed:
    """Return the hard negatives of one batch, as an update of NDCL would make them."""
    settings = run.hparams if isinstance(run.algorithm, NDCL) else {}
    rho, budget, per_pair = (
        settings.get(name, NDCL.HPARAMS[name].default)
        for name in ("mixup", "budget", "mixup_per_pair")
    )
    per_class = fixed_class_budget(int(run.hparams["batch_size"]))
    made = hard_negatives(
        x, y, p, rho, generator, budget=budget, per_class=per_class, per_pair=per_pair
    )
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
    """Return what the model makes of mixed samples."""
    inputs, classes, lambdas = (torch.cat(column) for column in zip(*mixed, strict=True))
    shares = torch.minimum(lambdas, 1 - lambdas).double().numpy()
    return Samples(run.outputs(TensorDataset(inputs, classes)), folds, shares)


def _select_real(pools: list[_Pool], images: int, seed: int) -> Samples:
    """Return about ``images`` real images: an equal share of every pool, of a small one all."""
    each = -(-images // len(pools))
    parts, folds = [], []
    for pool in pools:
        rows = np.random.RandomState(seed).permutation(len(pool.folds))[:each]
        parts.append(Outputs(*(column[torch.as_tensor(rows)] for column in pool.outputs)))
        folds.append(pool.folds[rows])
    outputs = Outputs(*(torch.cat(column) for column in zip(*parts, strict=True)))
    where = np.concatenate(folds)
    return Samples(outputs, where, np.zeros(len(where)))
