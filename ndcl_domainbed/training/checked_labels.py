"""Data sets that refuse labels which are no class, before anything is trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from imbalance_splits.errors import InputError
from imbalance_splits.labels import environment_names, labels_of


def with_checked_labels(dataset_class: type) -> Any:
    """Return the data set class, its constructor raising InputError for a label that is no class.

    Such a label would otherwise be an index out of range deep in a loss or in the evaluation; on
    a GPU, an error of the device that names neither. A label is an index, 0 to K - 1, of the K =
    ``num_classes`` classes.
    """
    attributes = {"__doc__": dataset_class.__doc__}
    return type(dataset_class.__name__, (_CheckedLabels, dataset_class), attributes)


class _CheckedLabels:
    """Comes before a data set class, the testbed's or a checkout's."""

    num_classes: int

    def __init__(self, root: str | None, test_envs: Sequence[int], hparams: Any) -> None:
        super().__init__(root, test_envs, hparams)  # type: ignore[call-arg]
        domains: Any = self
        for env, name in enumerate(environment_names(domains)):
            self._check(name, labels_of(domains[env]))

    def _check(self, domain: str, labels: np.ndarray) -> None:
        """Raise InputError for the first of a domain's labels (N,) that is no class."""
        odd = np.flatnonzero((labels < 0) | (labels >= self.num_classes))
        if len(odd):
            raise InputError(
                f"{type(self).__name__}, domain {domain}: image {odd[0]} has the label "
                f"{labels[odd[0]]}, but labels are 0 to {self.num_classes - 1}, for num_classes = "
                f"{self.num_classes}.\nCorrect the labels (targets) of the data set, or its "
                "num_classes."
            )
