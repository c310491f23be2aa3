"""Sums, over the updates of a run, of what its losses do to each source domain and class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ndcl_domainbed.diagnostics.pair_sums import PairSums
from ndcl_domainbed.diagnostics.passes import Captured, Passes, capture_passes
from ndcl_domainbed.testbed.algorithms.base import concatenate, domain_indices
from ndcl_domainbed.training.batches import Batch
from ndcl_domainbed.training.callbacks import UnsuitableAlgorithm

_SIGNIFICANT_DIGITS = 7


class UpdateWatcher:
    """Watches updates and adds up figures for each pair (d, k) of source domain and class.

    Of the samples of a pair:

    - ``grad_logits`` and ``grad_features``, the Euclidean norm of the gradient of the loss at
      their logits and at their features, times the batch size. A loss is a mean over the batch, so
      this is the gradient of a sample's own loss if all samples weigh the same. With several
      backward passes, the first that reaches the logits counts.
    - ``confidence``, the probability of their class.
    - ``amplification``, if the algorithm's ``last_step`` has it (NDCL): the amplification factor
      of anchors with positives and negatives, :func:`ndcl_domainbed.losses.amplification_factor`.
      ``crowding`` is the factor with means in place of its two sums, so it does not depend on how
      many positives and negatives an anchor has.
    - the prototype of each batch, the mean of their predictions: its ``norm``, its ``distance`` to
      the same class in other domains, and its ``instability``, the root mean square distance of
      the prototypes of the batches to their mean (n - 1 for n batches).

    Updates in which no loss reaches the logits, such as a discriminator's, are not counted, nor
    are those in which the network sees other images than the minibatches. Watching changes no
    number of the run and never waits for the device. ``state`` is changed in place; a watcher that
    is given a saved state continues its sums.
    """

    def __init__(
        self,
        algorithm: Any,
        sources: Sequence[int],
        num_classes: int,
        device: torch.device,
        state: dict[str, Any],
    ) -> None:
        """Raise UnsuitableAlgorithm if ``algorithm`` has no featurizer and classifier.

        ``sources`` are the indices of the source domains, in the order of the minibatches.
        """
        self.algorithm = algorithm
        self.sources = sources
        self.num_classes = num_classes
        for name in ("featurizer", "classifier"):
            if not isinstance(getattr(algorithm, name, None), nn.Module):
                raise self._unsuitable(f"it has no {name}")
        self.sums = PairSums(len(sources) * num_classes, num_classes, device, state)
        self._is_checked = False

    def _unsuitable(self, reason: str) -> UnsuitableAlgorithm:
        return UnsuitableAlgorithm(
            f"--diagnostics cannot watch {type(self.algorithm).__name__}: {reason}.\n"
            "It needs an algorithm that passes its minibatches as they are through its featurizer "
            "and classifier, like ERM and NDCL. Train without --diagnostics."
        )

    @contextmanager
    def watch(self, minibatches: Sequence[Batch]) -> Iterator[None]:
        """Watch the update that is made in the block.

        Raises UnsuitableAlgorithm after the first update if it does not pass the minibatches
        through the network.
        """
        x, y = concatenate(minibatches)
        modules = self.algorithm.featurizer, self.algorithm.classifier
        with capture_passes(*modules, len(y)) as passes:
            yield
            if not self._is_checked:
                self._check(passes, x)
                self._is_checked = True
            captured = passes.captured()
            if captured is not None and captured.inputs.shape == x.shape:
                pairs = domain_indices(minibatches) * self.num_classes + y
                with torch.no_grad():
                    self._add(captured, x, y, pairs)

    def _check(self, passes: Passes, x: Tensor) -> None:
        """Raise UnsuitableAlgorithm unless the passes are those of ``x``, in order."""
        if not passes.passes:
            raise self._unsuitable("its update trains no pass through its featurizer")
        found = passes.inputs()
        if found.shape != x.shape or not torch.equal(found, x):
            raise self._unsuitable("its featurizer sees other images than those of the minibatches")
        if passes.other_logits and all(one.logits is None for one in passes.passes):
            raise self._unsuitable(
                "its classifier sees other features than those of the minibatches"
            )

    def _add(self, captured: Captured, x: Tensor, y: Tensor, pairs: Tensor) -> None:
        """Add what one update showed."""
        logits = captured.logits
        predictions = (logits if logits.dtype == torch.float64 else logits.float()).softmax(dim=1)
        amplification, crowding = self._amplification(predictions, y)
        columns = {
            "confidence": predictions.gather(1, y[:, None])[:, 0],
            "grad_logits": len(y) * captured.logit_gradients.flatten(1).norm(dim=1),
            "grad_features": len(y) * captured.feature_gradients.flatten(1).norm(dim=1),
            "amplification": amplification,
            "crowding": crowding,
            "anchors": amplification > 0,
        }
        counted = (captured.inputs == x).all()
        self.sums.add(pairs, columns, predictions, counted)

    def _amplification(self, predictions: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return amplification factor and crowding, (N,) each; 0 where there is none."""
        step: Any = getattr(self.algorithm, "last_step", None)
        if not hasattr(step, "amplification") or len(step.mixed) == 0:
            return predictions.new_zeros(len(y)), predictions.new_zeros(len(y))
        factor = step.amplification()
        negatives = (y[:, None] == step.mixed_classes).sum(dim=1)
        positives = (y[:, None] == y).sum(dim=1) - 1
        return factor, factor * negatives / positives.clamp_min(1)

    def record(self, step: int) -> dict[str, Any]:
        """Return the line of ``diagnostics.jsonl`` for ``step``, and start new sums.

        ``updates`` counts the updates watched since the last record. ``pairs`` holds lists with
        an entry for each pair that occurred: ``env`` and ``class``; the counts ``samples``,
        ``anchors`` and ``batches``; the means over them of the figures of this class; and
        ``instability``. Undefined values are None.
        """
        means = self.sums.take()
        return {
            "step": step,
            "updates": means.updates,
            "pairs": {
                "env": [self.sources[pair // self.num_classes] for pair in means.pairs],
                "class": [pair % self.num_classes for pair in means.pairs],
                **{name: _to_json(values) for name, values in means.figures.items()},
            },
        }


def _to_json(values: Tensor) -> list[Any]:
    if not values.is_floating_point():
        return list(values.tolist())
    return [
        float(f"{v:.{_SIGNIFICANT_DIGITS}g}") if v == v else None  # NaN is undefined
        for v in values.tolist()
    ]
