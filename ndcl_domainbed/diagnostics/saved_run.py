"""A finished run, loaded back: its data and its model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from imbalance_splits.errors import InputError
from ndcl_domainbed import backend
from ndcl_domainbed.diagnostics.findings import Request
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
    """Of n images, on the CPU: features (n, F), logits (n, K) and true classes, labels (n,)."""

    features: Tensor
    logits: Tensor
    labels: Tensor

    def take(self, rows: Any) -> Outputs:
        """Return the given rows."""
        return Outputs(*(column[torch.as_tensor(rows)] for column in self))

    def posteriors(self) -> np.ndarray:
        """Return the probabilities of the classes, float64 (n, K)."""
        return np.asarray(self.logits.double().softmax(dim=1))


def join_outputs(parts: Sequence[Outputs]) -> Outputs:
    """Return the rows of all ``parts``."""
    return Outputs(*(torch.cat(column) for column in zip(*parts, strict=True)))


@dataclass(frozen=True)
class SavedRun:
    """A run with its model in evaluation mode.

    ``dataset`` is split as in the run: see :class:`imbalance_splits.datasets.SplitDataset`. For a
    run on frozen features, its images are their features.
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
        """The indices of the domains that the run was trained on, in the order of minibatches."""
        return list(self.dataset.sources)

    @property
    def class_counts(self) -> np.ndarray:
        """The training images of each class over all sources, int64 (K,)."""
        return np.asarray(self.dataset.label_counts.sum(axis=0))

    def shot_groups(self) -> list[str]:
        """Return the shot group of each class (K). Raises InputError if there are none."""
        if self.dataset.shot_groups is None:
            raise no_shot_groups(self.folder)
        return self.dataset.shot_groups

    def split(self, env: int, name: str, images: int | None = None, seed: int = 0) -> Subset[Any]:
        """Return a split ('in', 'out', 'val') of a domain, or ``images`` of it, drawn by ``seed``.

        Raises InputError if the domain has no such split.
        """
        if (env, name) not in self.dataset.evaluation_sets:
            domain = self.dataset.environments[env]
            raise InputError(f"{self.folder}: domain {domain} has no split '{name}'.")
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

    @torch.inference_mode()
    def outputs(self, subset: Any) -> Outputs:
        """Return what the model computes from the images in ``subset``.

        Raises InputError for an algorithm that does not predict by ``featurizer`` and
        ``classifier``, and for an empty subset.
        """
        featurizer, classifier = self.modules()
        parts: list[Outputs] = []
        for x, y in self.batches(subset):
            if not parts:
                self._check_modules(x)
            features = featurizer(x)
            parts.append(Outputs(features.cpu(), classifier(features).cpu(), y.cpu()))
        if not parts:
            raise InputError(f"{self.folder}: a split that this diagnostic needs has no images.")
        return join_outputs(parts)

    def modules(self) -> tuple[nn.Module, nn.Module]:
        """Return featurizer and classifier. Raises InputError if the algorithm lacks one."""
        featurizer = getattr(self.algorithm, "featurizer", None)
        classifier = getattr(self.algorithm, "classifier", None)
        if isinstance(featurizer, nn.Module) and isinstance(classifier, nn.Module):
            return featurizer, classifier
        raise self._unsuitable("has no featurizer and classifier")

    def _check_modules(self, x: Tensor) -> None:
        """Raise InputError unless predictions are from the features alone (not MTL, ARM)."""
        featurizer, classifier = self.modules()
        try:
            expected = self.algorithm.predict(x)
            same = torch.allclose(classifier(featurizer(x)), expected, rtol=1e-3, atol=1e-4)
        except RuntimeError:
            same = False
        if not same:
            raise self._unsuitable("predicts from more than its features")

    def _unsuitable(self, reason: str) -> InputError:
        return InputError(
            f"{self.folder}: {self.arguments.algorithm} {reason}, which this diagnostic needs to "
            "look at. 'confusion' works with every algorithm."
        )


def no_shot_groups(folder: Path) -> InputError:
    """Return the error for a run whose classes have no shot groups."""
    return InputError(f"{folder} was trained without --imbalance: its classes have no shot groups.")


def frozen_note(runs: dict[str, SavedRun]) -> str:
    """Return a note for the caption of a check of inputs, if they are features, or ""."""
    frozen = ", ".join(name for name, run in runs.items() if run.hparams.get("frozen"))
    return f" The inputs of {frozen} are features of a frozen network, not pixels." * bool(frozen)


def load_runs(request: Request) -> dict[str, SavedRun]:
    """Return the runs that ``request`` names, by short names; the one to look at comes first."""
    runs = [load_run(folder, request.data_dir, request.device) for folder in request.folders]
    return dict(zip(run_names(runs), runs, strict=True))


def load_run(folder: Path, data_dir: str | None = None, device: str | None = None) -> SavedRun:
    """Load the run in ``folder``: its model as saved at its end, its data split as it was.

    ``data_dir`` replaces the folder that the run read its images from. Raises InputError if there
    is no such run, if its model was not saved, or if its data cannot be read.
    """
    path = folder / MODEL_FILE
    saved = read_saved(path)
    arguments = read_arguments(saved["args"])
    if data_dir is not None:
        arguments.data_dir = data_dir
    hparams = Hparams(saved["model_hparams"])
    seeding.seed_everything(arguments.seed)
    where = choose_device(device)
    try:
        images_class = backend.get_dataset_class(arguments.dataset, arguments.data_dir)
        dataset_class = trained_dataset(arguments, images_class, hparams)
        dataset = split_dataset(arguments, dataset_class, hparams)
    except InputError as error:
        raise InputError(
            f"{folder}: its dataset {arguments.dataset} cannot be read from {arguments.data_dir}; "
            f"if it is elsewhere now, name the folder with --data_dir.\n{error}"
        ) from error
    hparams.label_counts, hparams.train_sets = dataset.label_counts, dataset.train_sets
    algorithm = build_algorithm(saved, path, hparams).to(where).eval()
    return SavedRun(folder, arguments, dict(hparams), dataset, algorithm, where)


def run_names(runs: Sequence[Any]) -> list[str]:
    """Return a name for each run: its algorithm, and what else distinguishes the runs."""
    names = [run.arguments.algorithm for run in runs]
    if len(set(names)) < len(names):
        for place, run in enumerate(runs):
            algorithm = run.arguments.algorithm
            same = [other.hparams for other in runs if other.arguments.algorithm == algorithm]
            for name, value in sorted(run.hparams.items()):
                if any(hparams.get(name) != value for hparams in same):
                    names[place] += f" {name}={value}"
    for folder in ([run.folder.name for run in runs], [run.folder for run in runs]):
        if len(set(names)) < len(names):
            names = [f"{name} ({its})" for name, its in zip(names, folder, strict=True)]
    return names
