"""From the arguments of a run to its data, hyper-parameters and algorithm, all checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from imbalance_splits.datasets import (
    FixedSplitDataset,
    HoldoutDataset,
    ImbalancedDataset,
    SplitDataset,
)
from imbalance_splits.errors import InputError
from imbalance_splits.labels import check_dataset, label_counts_of
from imbalance_splits.make_table import generate_table, table_for
from imbalance_splits.published import published_datasets, published_table
from imbalance_splits.table import LabelCounts, SplitTable
from ndcl_domainbed import backend, registry
from ndcl_domainbed.features import feature_folder
from ndcl_domainbed.features.frozen import FrozenFeatures, frozen_dataset
from ndcl_domainbed.hparams import Hparams, is_frozen
from ndcl_domainbed.processes import cores
from ndcl_domainbed.testbed import networks
from ndcl_domainbed.training import seeding
from ndcl_domainbed.training.acceleration import accelerate
from ndcl_domainbed.training.arguments import TrainArguments
from ndcl_domainbed.training.batches import in_memory
from ndcl_domainbed.training.callbacks import Callback
from ndcl_domainbed.training.data_digest import digest_data, find_files
from ndcl_domainbed.training.environment import keep_freed_memory


@dataclass
class Run:
    """A run that is ready to train."""

    arguments: TrainArguments
    folder: Path
    device: torch.device
    hparams: Hparams
    dataset: SplitDataset
    algorithm: Any
    steps: int
    checkpoint_freq: int
    workers: int
    data: dict[str, Any]
    network: dict[str, Any] | None = None
    callbacks: Sequence[Callback] = ()

    def is_checkpoint(self, step: int) -> bool:
        """Whether there is an evaluation and a record after the update ``step``.

        DomainBed's steps; without step 0 where ``eval_images`` limits evaluation, for a trial.
        """
        is_regular = step % self.checkpoint_freq == 0
        is_needed = step > 0 or self.arguments.eval_images is None
        return (is_regular and is_needed) or step == self.steps - 1


def prepare(arguments: TrainArguments, callbacks: Sequence[Callback] = ()) -> Run:
    """Build what ``arguments`` ask for, to be observed by ``callbacks``.

    Raises InputError for anything in them, or in the data, that cannot be used.
    """
    arguments.check()
    algorithm_class = registry.get_algorithm_class(arguments.algorithm)
    images_class = backend.get_dataset_class(arguments.dataset, arguments.data_dir)
    hparams = run_hparams(arguments, images_class)
    for callback in callbacks:
        callback.check(arguments.algorithm, hparams)
    device = choose_device(arguments.device)
    dataset_class = trained_dataset(arguments, images_class, hparams)
    seeding.seed_everything(arguments.seed)
    dataset = split_dataset(arguments, dataset_class, hparams)
    steps = arguments.steps or dataset_class.N_STEPS
    hparams.label_counts = dataset.label_counts
    hparams.train_sets = dataset.train_sets
    hparams.n_steps = steps
    seeding.seed_everything(arguments.seed)
    algorithm = algorithm_class(
        dataset.input_shape, dataset.num_classes, len(dataset.train_sets), hparams
    )
    algorithm = algorithm.to(device)
    network = describe_network(dataset, algorithm, hparams)
    files = dataset_class.files_by_domain() if is_frozen(hparams) else find_files(dataset)
    accelerate(algorithm, device, precision=arguments.precision, compiled=arguments.compile)
    return Run(
        arguments=arguments,
        folder=Path(arguments.output_dir),
        device=device,
        hparams=hparams,
        dataset=dataset,
        algorithm=algorithm,
        steps=steps,
        checkpoint_freq=arguments.checkpoint_freq or dataset_class.CHECKPOINT_FREQ,
        workers=loader_workers(arguments, dataset, dataset_class.N_WORKERS, device),
        data=digest_data(dataset, files),
        network=network,
        callbacks=callbacks,
    )


def run_hparams(arguments: TrainArguments, images_class: Any) -> Hparams:
    """Return the hyper-parameters of a run on ``images_class``, a dataset class.

    ``image_size`` is the dataset's own unless it was given. Raises InputError for bad ones.
    """
    overrides = arguments.hparam_overrides()
    hparams = registry.run_hparams(
        arguments.algorithm, getattr(images_class, "HPARAMS_LIKE", None) or arguments.dataset,
        arguments.hparams_seed, arguments.trial_seed, overrides,
    )  # fmt: skip
    has_size = "image_size" in overrides or is_frozen(hparams)
    if "image_size" in hparams and not has_size:
        hparams["image_size"] = images_class.IMAGE_SIZE
    return hparams


def trained_dataset(
    arguments: TrainArguments, images_class: Any, hparams: Mapping[str, Any]
) -> Any:
    """Return the dataset class that is trained on: the images, or their frozen features."""
    if not is_frozen(hparams):
        return images_class
    cache = feature_folder(arguments.data_dir, arguments.feature_cache)
    return frozen_dataset(images_class, cache, lambda: choose_device(arguments.device))


def prepare_features(arguments: TrainArguments) -> FrozenFeatures:
    """Return the frozen features that a run with ``arguments`` trains on, computed if need be.

    Raises InputError for arguments or images that cannot be used.
    """
    keep_freed_memory()
    images_class = backend.get_dataset_class(arguments.dataset, arguments.data_dir)
    hparams = run_hparams(arguments, images_class)
    dataset_class = trained_dataset(arguments, images_class, hparams)
    return dataset_class(arguments.data_dir, [], hparams)


def describe_network(
    dataset: SplitDataset, algorithm: torch.nn.Module, hparams: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return which network sees the images, and its weights, as it stands in a record.

    None for small networks, which are trained from random weights, and on a DomainBed checkout.
    """
    info = dataset.feature_info
    if info is not None:
        return {
            "frozen": True,
            **{name: info[name] for name in ("backbone", "image_size", "views")},
            **{name: info["weights"][name] for name in ("weights", "digest")},
            "features": info["digest"],
        }
    for module in algorithm.modules():
        if isinstance(module, networks.ResNet | networks.TimmBackbone):
            found = networks.describe_weights(module)
            return {"frozen": False, "image_size": hparams["image_size"], **found}
    return None


def split_dataset(arguments: TrainArguments, dataset_class: Any, hparams: Hparams) -> SplitDataset:
    """Return the dataset split as it says itself, as ``--imbalance`` says, or as DomainBed does.

    Raises InputError if the dataset cannot be read, has a label that is no class, cannot be
    split like that, or has a source without a training image then; with
    ``--require_every_class`` also if a domain lacks a class.
    """
    dataset = _split(arguments, dataset_class, hparams)
    if arguments.require_every_class:
        check_dataset(dataset.available, arguments.dataset, every_class=True)
    return dataset


def _split(arguments: TrainArguments, dataset_class: Any, hparams: Hparams) -> SplitDataset:
    if _has_fixed_split(arguments, dataset_class):
        return FixedSplitDataset(dataset_class, arguments.data_dir, arguments.test_envs, hparams)
    if arguments.imbalance is None:
        dataset = HoldoutDataset(
            dataset_class, arguments.data_dir, arguments.test_envs, hparams,
            arguments.trial_seed, arguments.holdout_fraction, arguments.uda_holdout_fraction,
        )  # fmt: skip
        if arguments.task == "domain_adaptation" and not dataset.unlabeled_sets:
            raise InputError(
                f"--uda_holdout_fraction {arguments.uda_holdout_fraction} of the test domain "
                "rounds down to no image: nothing is left to train on without labels. "
                "Use a larger share."
            )
        return dataset
    split = ImbalancedDataset(
        dataset_class, arguments.data_dir, arguments.test_envs, hparams,
        lambda counts: split_table(arguments, dataset_class, lambda: counts),
        arguments.trial_seed, arguments.holdout_fraction, arguments.unlabeled_fraction,
    )  # fmt: skip
    for env, counts in zip(split.sources, split.label_counts, strict=True):
        if not counts.any():
            raise InputError(
                f"--imbalance {arguments.imbalance} leaves the source {split.environments[env]} "
                "without a training image.\n"
                "Give it some, or leave the domain out of the dataset."
            )
    return split


def _has_fixed_split(arguments: TrainArguments, dataset_class: Any) -> bool:
    """Whether the dataset says what is trained on; InputError if the arguments do as well."""
    fixed = getattr(dataset_class, "FIXED_SPLIT", None) is not None
    if fixed and (arguments.imbalance or arguments.uda_holdout_fraction):
        raise InputError(
            f"{arguments.dataset} has a split of its own (the column split): leave out "
            "--imbalance (with --unlabeled_fraction) and --uda_holdout_fraction, or the column."
        )
    return fixed


def split_table(
    arguments: TrainArguments, dataset_class: Any, counts: Callable[[], LabelCounts]
) -> SplitTable:
    """Return the published table, or the one that the setting makes of the dataset's counts.

    Only the latter calls ``counts``, which reads the dataset as :func:`label_counts` does.
    """
    _has_fixed_split(arguments, dataset_class)
    name, setting = arguments.dataset, str(arguments.imbalance)
    parameters = {} if arguments.validation is None else {"validation": arguments.validation}
    published = None if parameters else published_table(name, setting)
    if published is not None:
        return published
    if name in published_datasets():
        return table_for(name, setting, counts(), parameters)
    return generate_table(dataset_class.__name__, setting, counts(), parameters)


def label_counts(data_dir: str, dataset_class: Any, hparams: Hparams) -> LabelCounts:
    """Read a dataset and return its label counts. Raises InputError if it cannot be read."""
    everywhere = list(range(len(dataset_class.ENVIRONMENTS)))
    return label_counts_of(dataset_class(data_dir, everywhere, hparams))


def choose_device(name: str | None) -> torch.device:
    """Return the named device, or CUDA where there is one, else the CPU.

    Raises InputError for a device that this machine does not have.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--device {name} cannot be used here: {reason}") from error
    return device


def loader_workers(
    arguments: TrainArguments, dataset: SplitDataset, wanted: int, device: torch.device
) -> int:
    """Return how many loader processes to start: none for data in memory or on a single core.

    Otherwise ``wanted``, but no more than there are cores or, where the CPU computes as well,
    threads of this run: a sweep shares the cores out among its jobs by their threads.
    """
    if arguments.num_workers is not None:
        return arguments.num_workers
    if all(in_memory(subset) for subset in dataset.train_sets):
        return 0
    if cores() == 1:
        return 0
    return min(wanted, cores() if device.type == "cuda" else min(cores(), torch.get_num_threads()))
