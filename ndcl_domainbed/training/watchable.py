"""Whether ``--diagnostics`` can watch an algorithm, found out without a data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import Subset, TensorDataset

from ndcl_domainbed import registry
from ndcl_domainbed.hparams import Hparams
from ndcl_domainbed.training.batches import Batch
from ndcl_domainbed.training.seeding import generators_restored, seed_cpu
from ndcl_domainbed.training.watch import CannotWatch, Watch

DATASET = "Debug28"
SHAPE, CLASSES, DOMAINS, IMAGES = (3, 28, 28), 2, 3, 4
"""Of the trial: the data set of its hyper-parameters, and what its minibatches are like."""


def check_watchable(algorithm: str, hparams: Mapping[str, Any] | None = None) -> None:
    """Raise InputError, as a run would, if ``--diagnostics`` cannot watch ``algorithm``.

    It makes an update on a few random images with a small network, and with ``hparams``, or else
    its defaults. An algorithm that cannot do that is left to the first update of its run. The
    global random generators stay as they are.
    """
    cls = registry.get_algorithm_class(algorithm)
    values = registry.default_hparams(algorithm, DATASET) if hparams is None else hparams
    with generators_restored():
        seed_cpu(0)
        minibatches = [_minibatch() for _ in range(DOMAINS)]
        try:
            model = cls(SHAPE, CLASSES, DOMAINS, _with_split(values, minibatches))
            watch = Watch(model, range(DOMAINS), CLASSES, torch.device("cpu"), {})
            with watch.update(minibatches):
                model.update(minibatches)
        except CannotWatch:
            raise
        except Exception:  # its own affair: it may need what only real data have
            return


def _minibatch() -> Batch:
    return torch.randn(IMAGES, *SHAPE), torch.arange(IMAGES) % CLASSES


def _with_split(values: Mapping[str, Any], minibatches: list[Batch]) -> Hparams:
    """Return the hyper-parameters for a small network, with a training split of the images."""
    small = {"backbone": "small_cnn", "pretrained": False}
    hparams = Hparams({**values, **{name: small[name] for name in small if name in values}})
    sets = [TensorDataset(*minibatch) for minibatch in minibatches]
    hparams.train_sets = [Subset(images, range(len(images))) for images in sets]
    hparams.label_counts = np.full((DOMAINS, CLASSES), IMAGES // CLASSES)
    hparams.n_steps = 10
    return hparams
