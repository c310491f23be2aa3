"""What ``--diagnostics`` records: sums over the updates, by source domain and class.

Nothing in here changes the numbers of a run, and an update never waits for the device: what is
seen is added up there, and read when a record is due.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from imbalance_splits.errors import InputError
from ndcl_domainbed.algorithms.ndcl import LastStep
from ndcl_domainbed.training.batches import Batch
from ndcl_domainbed.training.pair_sums import BatchSeen, PairSums
from ndcl_domainbed.training.passes import Passes, Seen, watched_passes

FILE_NAME = "diagnostics.jsonl"

EVERY = 2
"""Every so many steps the update is watched: watching all of a cheap algorithm's costs 5 %."""

_DIGITS = 7
"""Significant digits of the figures in the file."""


class CannotWatch(InputError):
    """An algorithm does not do with its minibatches what could be watched."""


class Watch:
    """Watches the updates of an algorithm and adds up what its losses do to each pair (d, k).

    Of the samples of source domain d and class k:

    - the Euclidean norm of the gradient of the loss at their logits and at their features, times
      the number of samples in the batch, since a loss is a mean over the batch: a sample that
      weighs as much as the mean shows the gradient of its own loss. If there are several backward
      passes, it is the first that reaches the logits;
    - their confidence, the probability of their class;
    - where the algorithm makes hard negatives (NDCL, with any contrast), the amplification factor
      of :func:`ndcl_domainbed.losses.amplification_factor`, of anchors with positives and
      negatives; and their crowding, the factor with means in place of its two sums, which does not
      depend on how many positives and negatives an anchor has;
    - the prototype of each batch in prediction space, the mean of their predictions: its norm, its
      distance to the same class in other domains
      (:func:`ndcl_domainbed.losses.prototype_distances`), and its instability: the root mean
      square distance of the prototypes of the batches to their mean, with n - 1 for n batches.

    Updates in which no loss reaches the logits, such as a discriminator's, are not counted, nor
    are those in which the network sees other images than the minibatches'. ``state``, empty at
    first, is changed in place: saved and given to the next Watch, it goes on where this one was.
    """

    def __init__(
        self,
        algorithm: Any,
        sources: Sequence[int],
        num_classes: int,
        device: torch.device,
        state: dict[str, Any],
    ) -> None:
        """Raise CannotWatch if ``algorithm`` has no featurizer and classifier.

        ``sources`` are the indices of the source domains, in the order of the minibatches.
        """
        self.algorithm = algorithm
        self.sources = sources
        self.num_classes = num_classes
        for name in ("featurizer", "classifier"):
            if not isinstance(getattr(algorithm, name, None), torch.nn.Module):
                raise self._unfit(f"it has no {name}")
        self.sums = PairSums(len(sources), num_classes, device, state)
        self._checked = False
        self._layouts: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}

    def _unfit(self, why: str) -> CannotWatch:
        return CannotWatch(
            f"--diagnostics cannot watch {type(self.algorithm).__name__}: {why}.\n"
            "It needs an algorithm that passes its minibatches as they are through its featurizer "
            "and classifier, like ERM and NDCL. Train without --diagnostics."
        )

    @contextmanager
    def update(self, minibatches: Sequence[Batch]) -> Iterator[None]:
        """Watch the update that is made in the block.

        Raises CannotWatch after the first one if its passes are not those of the minibatches.
        """
        modules = self.algorithm.featurizer, self.algorithm.classifier
        with watched_passes(*modules, sum(len(y) for _, y in minibatches)) as passes:
            yield
            if not self._checked:
                self._check(passes, minibatches)
                self._checked = True
            seen = passes.seen()
            if seen is not None:
                with torch.no_grad():
                    self._add(seen, minibatches)

    def _check(self, passes: Passes, minibatches: Sequence[Batch]) -> None:
        """Raise CannotWatch unless the passes are of the minibatches, in order."""
        if not passes.passes:
            raise self._unfit("its update trains no pass through its featurizer")
        expected = torch.cat([x for x, _ in minibatches])
        found = passes.inputs()
        if found.shape != expected.shape or not torch.equal(found, expected):
            raise self._unfit("its featurizer sees other images than those of the minibatches")
        if passes.other_logits and all(one.logits is None for one in passes.passes):
            raise self._unfit("its classifier sees other features than those of the minibatches")

    def _add(self, seen: Seen, minibatches: Sequence[Batch]) -> None:
        """Add what one update showed."""
        firsts, offsets = self._layout([len(y) for _, y in minibatches], seen.inputs.device)
        labels = torch.cat([y for _, y in minibatches])
        expected = torch.stack([x[0] for x, _ in minibatches])
        figures = torch.stack(self._figures(seen, labels), dim=1)
        logits = seen.logits if seen.logits.dtype == torch.float64 else seen.logits.float()
        # The first image of each domain tells whether the network saw the minibatches this time.
        counted = (seen.inputs[firsts] == expected).all()
        self.sums.add(BatchSeen(labels + offsets, logits, figures.to(logits.dtype), counted))

    def _layout(self, sizes: list[int], device: torch.device) -> tuple[Tensor, Tensor]:
        """Return where each domain begins in a batch (D,), and d K for each sample (N,)."""
        key = tuple(sizes)
        if key not in self._layouts:
            ends = torch.tensor(sizes).cumsum(0)
            domains = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
            layout = ends - torch.tensor(sizes), domains * self.num_classes
            self._layouts[key] = layout[0].to(device), layout[1].to(device)
        return self._layouts[key]

    def _figures(self, seen: Seen, labels: Tensor) -> list[Tensor]:
        """Return the columns of :attr:`BatchSeen.figures`, each (N,)."""
        factor = crowding = torch.zeros_like(seen.logits[:, 0])
        step = getattr(self.algorithm, "last_step", None)
        if isinstance(step, LastStep) and len(step.mixed) > 0:
            factor = step.amplification()
            crowding = factor * _negatives_per_positive(labels, step.mixed_classes)
        return [
            len(labels) * seen.logit_gradients.flatten(1).norm(dim=1),
            len(labels) * seen.feature_gradients.flatten(1).norm(dim=1),
            factor,
            crowding,
            factor > 0,
        ]

    def record(self, step: int) -> dict[str, Any]:
        """Return the line of ``diagnostics.jsonl`` for ``step``, and begin anew.

        ``updates`` counts those since the last record. ``pairs`` holds lists, an entry for each
        pair that occurred: ``env`` and ``class``; ``samples``, ``anchors`` and ``batches`` count
        what the means are over; the means ``grad_logits``, ``grad_features`` and ``confidence``
        over samples, ``amplification`` and ``crowding`` over anchors, ``norm`` and ``distance``
        over batches; and ``instability``. What is not defined is None.
        """
        taken = self.sums.take()
        return {
            "step": step,
            "updates": taken.updates,
            "pairs": {
                "env": [self.sources[pair // self.num_classes] for pair in taken.pairs],
                "class": [pair % self.num_classes for pair in taken.pairs],
                **{name: _rounded(values) for name, values in taken.figures.items()},
            },
        }


def _negatives_per_positive(labels: Tensor, negative_classes: Tensor) -> Tensor:
    """Return, for each sample, the number of its negatives by that of its positives, (N,)."""
    negatives = (labels[:, None] == negative_classes).sum(dim=1)
    positives = (labels[:, None] == labels).sum(dim=1) - 1
    return negatives / positives.clamp_min(1)


def _rounded(values: Tensor) -> list[Any]:
    """Return the values as JSON has them: None where they are not defined."""
    if not values.is_floating_point():
        return list(values.tolist())
    return [float(f"{v:.{_DIGITS}g}") if v == v else None for v in values.tolist()]
