"""Variants of a run's evaluation: other figures from the same training.

A variant never changes the run: it reads weights after updates, and predicts beside the algorithm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from imbalance_splits.datasets import SplitDataset
from imbalance_splits.errors import InputError
from imbalance_splits.seeds import seed_hash
from ndcl_domainbed.hparams import required_label_counts
from ndcl_domainbed.testbed.networks.batch_norm import moving_batch_norms
from ndcl_domainbed.training import evaluation
from ndcl_domainbed.training.averaging import KINDS
from ndcl_domainbed.training.batches import Batch, PooledBalancedBatches, StepBatches
from ndcl_domainbed.training.feed import Extra
from ndcl_domainbed.training.preparation import Run
from ndcl_domainbed.training.second_stage import SecondStage, check_decoupled
from ndcl_domainbed.variant_names import AVERAGES, Variant, parse_variants

BATCH_NORM, CRT = "batch norm", "crt"
"""The names of the minibatches that variants read."""

BATCH_NORM_STEPS = 10
"""The minibatches that batch-norm statistics of averaged weights are computed on."""


@contextmanager
def data_replaced(pairs: Iterable[tuple[Tensor, Tensor]]) -> Iterator[None]:
    """Let each first tensor of ``pairs`` hold the data of its second while the block runs.

    Parameters stay the objects that optimizers know, and get their own data back, bit for bit.
    (``torch.func.functional_call`` loses parameters of a module that has two names, as ERM's has.)
    """
    with torch.inference_mode(False):
        pairs = list(pairs)
        kept = [(one, one.data) for one, _ in pairs]
        for one, data in pairs:
            one.data = data
    try:
        yield
    finally:
        with torch.inference_mode(False):
            for one, data in kept:
                one.data = data


class Variants:
    """The variants that a run asks for; ``state`` is what it needs to resume, changed in place.

    Raises InputError if the algorithm is not up to one of them, or lacks validation images for it.
    """

    def __init__(self, run: Run, state: dict[str, Any]) -> None:
        self._run = run
        self._asked = parse_variants(run.arguments.variants or ())
        names = {one.name for one in self._asked}
        self._validation_splits = _find_validation(run.dataset) if "swad" in names else []
        self._averages = {
            one.key: KINDS[one.name](state.setdefault(one.key, {}), run.steps, **one.parameters)
            for one in self._asked
            if one.name in AVERAGES
        }
        if "crt" in names:
            check_decoupled(run.algorithm, run.dataset.input_shape)
        self._second_stages = {
            one.key: SecondStage(run.algorithm, run.arguments.seed, **one.parameters)
            for one in self._asked
            if one.name == "crt"
        }
        self._moving_norms = _moving_in_training(run.algorithm) if self._averages else []

    def extra(self) -> Extra:
        """Return what their evaluation reads besides the splits."""
        run, batches = self._run, {}
        sets, size, seed = run.dataset.train_sets, run.hparams["batch_size"], run.arguments.seed
        if self._moving_norms:
            its = StepBatches(sets, size, seed_hash(seed, BATCH_NORM))
            batches[BATCH_NORM] = (BATCH_NORM_STEPS, its)
        if self._second_stages:
            steps = max(one.steps for one in self._second_stages.values())
            batches[CRT] = (steps, PooledBalancedBatches(sets, size, seed_hash(seed, CRT)))
        return Extra(self._validation_splits, batches, at_end=[CRT], last=run.steps - 1)

    def after_update(self, step: int) -> None:
        """Take the weights after the update of ``step``."""
        if self._averages:
            weights = _list_trained(self._run.algorithm)
            for average in self._averages.values():
                average.add(step, weights)

    @torch.inference_mode(False)
    @torch.no_grad()
    def prepare(
        self, step: int, read_split: Callable[[int], Iterable[Batch]],
        read_extra: Callable[[str], Iterable[list[Batch]]],
    ) -> dict[str, evaluation.Variant]:  # fmt: skip
        """Return key -> the predictor of each variant that has figures after ``step``.

        Reads what :meth:`extra` asks for, in its order, in evaluation mode.
        """
        run = self._run
        norm_batches = list(read_extra(BATCH_NORM)) if self._moving_norms else []
        trained = self._train_second_stages(step, read_extra)
        losses = [_mean_loss(run.algorithm, read_split(at)) for at in self._validation_splits]
        loss = sum(losses) / len(losses) if losses else None
        found: dict[str, evaluation.Variant] = {}
        for one in self._asked:
            if one.name in AVERAGES:
                weights = self._averages[one.key].evaluate(step, loss)
                if weights is not None:
                    found[one.key] = self._predict_averaged(weights, norm_batches)
            elif one.name == "adjusted":
                found[one.key] = self._adjust(one)
            elif one.key in trained:
                found[one.key] = trained[one.key]
        return found

    def _predict_averaged(
        self, weights: list[Tensor], norm_batches: list[list[Batch]]
    ) -> evaluation.Variant:
        """Return the predictor with averaged weights, and batch-norm statistics made for them.

        The statistics of the run belong to other weights, and an average of statistics is none of
        the averaged weights: they are computed again, as the mean over training minibatches.
        """
        algorithm = self._run.algorithm
        pairs = list(zip(_list_trained(algorithm), weights, strict=True))
        if norm_batches:
            fresh = [
                (buffer, torch.full_like(buffer, float(name == "running_var")))
                for layer in self._moving_norms
                for name, buffer in layer.named_buffers()
            ]
            pairs += fresh
            with data_replaced(pairs), _statistics_computed(self._moving_norms):
                for batches in norm_batches:
                    algorithm.predict(torch.cat([x for x, _ in batches]))

        def predict(x: Tensor, _plain: Tensor) -> Tensor:
            with data_replaced(pairs):
                return algorithm.predict(x)

        return predict

    def _adjust(self, one: Variant) -> evaluation.Variant:
        """Return post-hoc logit adjustment: f - τ log π, π the class shares of the pooled sources.

        Menon, Jayasumana, Rawat, Jain, Veit & Kumar, "Long-Tail Learning via Logit Adjustment",
        ICLR 2021, arXiv:2007.07314, Eq. 9. A class without an image counts as one with a single
        image, so that its logit is finite.
        """
        counts = required_label_counts(self._run.hparams, "variant adjusted").sum(axis=0)
        prior = torch.as_tensor(counts, dtype=torch.float32).clamp(min=1) / counts.sum()
        shift = one.parameters["tau"] * prior.log().to(self._run.device)
        return lambda _x, plain: plain - shift

    def _train_second_stages(
        self, step: int, read_extra: Callable[[str], Iterable[list[Batch]]]
    ) -> dict[str, evaluation.Variant]:
        if not self._second_stages or step != self._run.steps - 1:
            return {}
        stages = {key: one.start() for key, one in self._second_stages.items()}
        for batches in read_extra(CRT):
            for stage in stages.values():
                stage.update(batches)
        return {key: stage.predict for key, stage in stages.items()}


def _find_validation(dataset: SplitDataset) -> list[int]:
    """Return the splits that validate: balanced ones of the sources, or else the held out.

    Raises InputError if one of them has no image.
    """
    name, places = evaluation.validation_split(dataset), list(dataset.evaluation_sets)
    for env in dataset.sources:
        if not len(dataset.evaluation_sets.get((env, name), ())):
            raise InputError(
                f"--variants swad needs validation images, and the split {name!r} of "
                f"{dataset.environments[env]} has none."
            )
    return [places.index((env, name)) for env in dataset.sources]


def _list_trained(algorithm: nn.Module) -> list[Tensor]:
    """Return the parameters that are trained, each once."""
    return [one for one in algorithm.parameters() if one.requires_grad]


def _moving_in_training(algorithm: nn.Module) -> list[_BatchNorm]:
    """Return the layers of batch normalization whose statistics move in training."""
    was_training = algorithm.training
    found = moving_batch_norms(algorithm.train())
    algorithm.train(was_training)
    return found


@contextmanager
def _statistics_computed(layers: list[_BatchNorm]) -> Iterator[None]:
    """Let ``layers`` average the statistics of the batches that pass, all else in its mode."""
    kept = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = None  # torch's cumulative average
        layer.train()
    try:
        yield
    finally:
        for layer, momentum in zip(layers, kept, strict=True):
            layer.momentum = momentum
            layer.eval()


def _mean_loss(algorithm: Any, batches: Iterable[Batch]) -> float:
    """Return the mean cross-entropy of ``algorithm.predict``."""
    total, count = 0.0, 0
    for x, y in batches:
        total += float(F.cross_entropy(algorithm.predict(x).float(), y, reduction="sum"))
        count += len(y)
    return total / max(count, 1)
