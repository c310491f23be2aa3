"""Passes to the algorithm what DomainBed's training loop knows and does not pass on.

The loop takes hyper-parameters from the registry, then splits each domain, then builds the
algorithm. So the hyper-parameters that the registry gave last belong to the domains that are
split next, and carry label counts and training subsets to the algorithm as attributes.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import numpy as np

from imbalance_splits.errors import InputError
from imbalance_splits.labels import labels_of
from ndcl_domainbed.hparams import Hparams


class TrainingRun:
    """The run that is being prepared in this process."""

    def __init__(self, hparams: Hparams, n_steps: int | None) -> None:
        self.hparams = hparams
        self.hparams.n_steps = n_steps
        self._insides: list[Any] = []
        self._labels: list[np.ndarray | None] = []
        self._num_classes = 0

    def add(self, domain: Any, inside: Any) -> None:
        """Note that ``inside`` is the 'in' split of ``domain``.

        Only the 'in' split of a test domain is split once more: into what may be used without
        labels, and the rest. Then it is not among the source domains.
        """
        again = [n for n, known in enumerate(self._insides) if known is domain]
        if again:
            del self._insides[again[0]], self._labels[again[0]]
        else:
            self._insides.append(inside)
            self._labels.append(self._labels_inside(domain, inside))
        self.hparams.train_sets = list(self._insides)
        self.hparams.label_counts = self._label_counts()

    def _labels_inside(self, domain: Any, inside: Any) -> np.ndarray | None:
        """Return the labels of ``inside``; None if they cannot be read without the images."""
        with contextlib.suppress(InputError):
            labels = labels_of(domain)
            named = len(getattr(domain, "classes", ()))
            self._num_classes = max(self._num_classes, named, int(labels.max(initial=-1)) + 1)
            indices = inside.indices if hasattr(inside, "indices") else inside.keys
            return labels[np.asarray(indices, dtype=np.int64)]
        return None

    def _label_counts(self) -> np.ndarray | None:
        """Return the training images of each (source, class), int64 (M, K), if they are known."""
        known = [labels for labels in self._labels if labels is not None]
        if not known or len(known) < len(self._labels):
            return None
        return np.stack([np.bincount(labels, minlength=self._num_classes) for labels in known])


def steps_of_script(usual: int) -> int | None:
    """Return how many updates the script that this process runs will make.

    DomainBed's train script keeps its parsed arguments in ``args``; its ``--steps``, not given,
    means the dataset's ``usual`` number. None for a script that keeps no such thing.
    """
    arguments: Any = getattr(sys.modules["__main__"], "args", None)
    if not hasattr(arguments, "steps"):
        return None
    return arguments.steps or usual
