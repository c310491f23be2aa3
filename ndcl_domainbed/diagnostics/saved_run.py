"""A finished run, loaded back: its data and its model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from imbalance_splits.errors import InputError
from ndcl_domainbed import backend
from ndcl_domainbed.diagnostics.faults import no_shot_groups
from ndcl_domainbed.diagnostics.request import Request
from ndcl_domainbed.hparams import Hparams
from ndcl_domainbed.run_folder import MODEL_FILE
from ndcl_domainbed.training import seeding
from ndcl_domainbed.training.arguments import TrainArguments, read_arguments
from ndcl_domainbed.training.batches import Batch
from ndcl_domainbed.training.feed import evaluation_batch_size
from ndcl_domainbed.training.preparation import (
    SplitDataset,
    choose_device,
    split_dataset,
    trained_dataset,
)
from ndcl_domainbed.training.saved_model import build_algorithm, read_saved


class Outputs(NamedTuple):
    """What a model makes of n images, on the CPU: features (n, F), logits (n, K), labels (n,)."""

    features: Tensor
    logits: Tensor
    labels: Tensor


@dataclass(frozen=True)
class SavedRun:
    """A run with its model in evaluation mode.

    ``dataset`` is split as in the run: see
    :class:`imbalance_splits.datasets.SplitDataset`.
    """

    folder: Path
    arguments: TrainArguments
    hparams: dict[str, Any]
    dataset: SplitDataset
    algorithm: Any
    device: torch.device

    @property
    def target(self) -> int:
        """The index of the (first) domain that the run has not seen."""
        return self.dataset.test_envs[0]

    @property
    def sources(self) -> list[int]:
        """The indices of the domains that the run was trained on, as its minibatches come."""
        held_out = self.dataset.test_envs
        return [env for env in range(len(self.dataset.environments)) if env not in held_out]

    @property
    def class_counts(self) -> np.ndarray:
        """The training images of each class over all sources, int64 (K,)."""
        return np.asarray(self.dataset.label_counts.sum(axis=0))

    def shot_groups(self) -> list[str]:
        """Return the shot group of each class (K); InputError for a run without an imbalance."""
        if self.dataset.shot_groups is None:
            raise no_shot_groups(self.folder)
        return self.dataset.shot_groups

    def split(self, env: int, name: str, images: int | None = None, seed: int = 0) -> Subset[Any]:
        """Return a split ('in', 'out', 'val') of a domain, or ``images`` of it, drawn by ``seed``.

        Raises InputError if the domain has no such split.
        """
        if (env, name) not in self.dataset.evaluation_sets:
            raise InputError(f"{self.folder}: domain {env} has no split '{name}'.")
        subset = self.dataset.evaluation_sets[env, name]
        if images is None or images >= len(subset):
            return subset
        drawn = np.random.RandomState(seed).permutation(len(subset))[:images]
        return Subset(subset, np.sort(drawn).tolist())

    def batches(self, subset: Any) -> Iterator[Batch]:
        """Yield the images and labels of ``subset``, in order, on the run's device."""
        loader = DataLoader(subset, evaluation_batch_size(self.dataset.input_shape))
        for x, y in loader:
            yield x.to(self.device), torch.as_tensor(y).to(self.device)

    def outputs(self, subset: Any) -> Outputs:
        """Return what the model makes of the images in ``subset``.

        Raises InputError if the algorithm does not predict by a ``featurizer`` and ``classifier``.
        """
        featurizer, classifier = self.modules()
        parts: list[Outputs] = []
        with torch.inference_mode():
            for x, y in self.batches(subset):
                if not parts:
                    self._check_modules(x)
                features = featurizer(x)
                parts.append(Outputs(features.cpu(), classifier(features).cpu(), y.cpu()))
        if not parts:
            raise InputError(f"{self.folder}: a split that is needed here holds no images.")
        return Outputs(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def modules(self) -> tuple[nn.Module, nn.Module]:
        """Return the featurizer and the classifier; InputError if the algorithm has them not."""
        featurizer = getattr(self.algorithm, "featurizer", None)
        classifier = getattr(self.algorithm, "classifier", None)
        if not isinstance(featurizer, nn.Module) or not isinstance(classifier, nn.Module):
            raise InputError(
                f"{self.arguments.algorithm} has no featurizer and classifier to look into."
            )
        return featurizer, classifier

    def _check_modules(self, x: Tensor) -> None:
        """Raise InputError unless a prediction is the classifier's on the featurizer's output.

        MTL and ARM give their networks more than the image.
        """
        featurizer, classifier = self.modules()
        try:
            same = torch.allclose(
                classifier(featurizer(x)), self.algorithm.predict(x), rtol=1e-3, atol=1e-4
            )
        except RuntimeError:
            same = False
        if not same:
            raise InputError(
                f"{self.arguments.algorithm} predicts from more than its features: it cannot be "
                "looked into."
            )


def load_runs(request: Request) -> list[SavedRun]:
    """Return the runs that ``request`` names, the one to look at first."""
    return [load_run(folder, request.data_dir, request.device) for folder in request.folders]


def load_run(folder: Path, data_dir: str | None = None, device: str | None = None) -> SavedRun:
    """Load the run in ``folder``: its model as saved at its end, its data split as it was.

    ``data_dir`` replaces the folder that the run read its images from. Raises InputError if there
    is no such run, if its model was not saved, or if its data cannot be had.
    """
    path = folder / MODEL_FILE
    saved = read_saved(path)
    arguments = read_arguments(saved["args"])
    if data_dir is not None:
        arguments.data_dir = data_dir
    hparams = Hparams(saved["model_hparams"])
    seeding.seed_everything(arguments.seed)
    where = choose_device(device)
    images_class = backend.get_dataset_class(arguments.dataset, arguments.data_dir)
    dataset_class = trained_dataset(arguments, images_class, hparams)
    dataset = split_dataset(arguments, dataset_class, hparams)
    hparams.label_counts = dataset.label_counts
    hparams.train_sets = dataset.train_sets
    return SavedRun(
        folder=folder,
        arguments=arguments,
        hparams=dict(hparams),
        dataset=dataset,
        algorithm=build_algorithm(saved, path, hparams).to(where).eval(),
        device=where,
    )
