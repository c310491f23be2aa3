"""The callback that ``train --diagnostics`` adds to a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Subset, TensorDataset

from ndcl_domainbed import registry
from ndcl_domainbed.diagnostics.update_watcher import UpdateWatcher
from ndcl_domainbed.hparams import Hparams, is_frozen
from ndcl_domainbed.training.batches import Batch
from ndcl_domainbed.training.callbacks import Callback, UnsuitableAlgorithm
from ndcl_domainbed.training.seeding import generators_restored, seed_cpu

if TYPE_CHECKING:
    from ndcl_domainbed.training.preparation import Run

NAME = "diagnostics"

EVERY = 2  # every second update is watched, to halve the cost for algorithms with cheap updates
_TRIAL_DATASET = "Debug28"
_SHAPE, _FEATURES, _CLASSES, _DOMAINS, _IMAGES = (3, 28, 28), 8, 2, 3, 4
"""The random minibatches of the trial update."""


class DiagnosticsCallback(Callback):
    """Records gradients and prototypes by source domain and class."""

    name = NAME

    def check(self, algorithm: str, hparams: Mapping[str, Any] | None = None) -> None:
        """Raise UnsuitableAlgorithm if a trial update of ``algorithm`` cannot be watched.

        An algorithm that fails in it for another reason passes: its first real update decides. The
        global random generators stay as they are.
        """
        cls = registry.get_algorithm_class(algorithm)
        if hparams is None:
            hparams = registry.default_hparams(algorithm, _TRIAL_DATASET)
        small = {"backbone": "small_cnn", "pretrained": False}
        trial = Hparams({**hparams, **{name: small[name] for name in small if name in hparams}})
        trial.label_counts = np.full((_DOMAINS, _CLASSES), _IMAGES // _CLASSES)
        trial.n_steps = 10
        with generators_restored():
            seed_cpu(0)
            labels = torch.arange(_IMAGES) % _CLASSES
            shape = (_FEATURES,) if is_frozen(trial) else _SHAPE
            minibatches = [(torch.randn(_IMAGES, *shape), labels) for _ in range(_DOMAINS)]
            trial.train_sets = [Subset(TensorDataset(*one), range(_IMAGES)) for one in minibatches]
            try:
                model = cls(shape, _CLASSES, _DOMAINS, trial)
                watcher = UpdateWatcher(model, range(_DOMAINS), _CLASSES, torch.device("cpu"), {})
                with watcher.watch(minibatches):
                    model.update(minibatches)
            except UnsuitableAlgorithm:
                raise
            except Exception:  # it may need something that only a real dataset has
                return

    def start(self, run: Run, state: dict[str, Any]) -> None:
        """Prepare to watch ``run``."""
        self._watcher = UpdateWatcher(
            run.algorithm, run.dataset.sources, run.dataset.num_classes, run.device, state
        )

    def around_update(
        self, step: int, minibatches: Sequence[Batch]
    ) -> AbstractContextManager[None]:
        """Watch every second update."""
        return nullcontext() if step % EVERY else self._watcher.watch(minibatches)

    def on_record(self, step: int) -> dict[str, Any]:
        """Return what was seen since the last record."""
        return self._watcher.record(step)


make_callback = DiagnosticsCallback
