"""Everything that can be known to be wrong with a sweep, before any of it is launched."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from imbalance_splits.settings import build_setting, parse_setting
from imbalance_splits.settings.base import GeneratedSetting
from imbalance_splits.settings.from_file import FILE_SUFFIXES, FromFile
from imbalance_splits.table import LabelCounts
from ndcl_domainbed import backend, registry
from ndcl_domainbed.errors import InputError
from ndcl_domainbed.hparams import is_frozen
from ndcl_domainbed.run_folder import describe_data_change, finished_steps, read_data_digest
from ndcl_domainbed.sweeping import fork_server
from ndcl_domainbed.sweeping.grid import Grid, dataset_class, environments
from ndcl_domainbed.sweeping.jobs import Job
from ndcl_domainbed.training import preparation
from ndcl_domainbed.training.arguments import TrainArguments, check_at_least, parse_hparams
from ndcl_domainbed.training.callbacks import UnsuitableAlgorithm, make_callback
from ndcl_domainbed.training.data_reader import DataReader


def fill_in_defaults(grid: Grid) -> Grid:
    """Return ``grid`` with all algorithms, or all datasets but Debug*, where none were named."""
    real = [name for name in backend.dataset_names() if not name.startswith("Debug")]
    return dataclasses.replace(
        grid,
        algorithms=registry.algorithm_names() if grid.algorithms is None else grid.algorithms,
        datasets=real if grid.datasets is None else grid.datasets,
    )


def check_options(options: Namespace) -> None:
    """Raise InputError for a number that makes no sense."""
    check_at_least("--jobs", options.jobs, 1)
    check_at_least("--retries", options.retries, 0)
    share, keep = options.stop_early, options.keep_draws
    if share is not None and not 0 < share < 1:
        raise InputError(f"--stop_early is a share of the steps, 0 < share < 1; got {share:g}")
    if keep is not None and not (0 < keep < 1 or (keep >= 1 and keep.is_integer())):
        raise InputError(f"--keep_draws is a whole number or a share below 1; got {keep:g}")
    if keep is not None and share is None:
        raise InputError("--keep_draws works only with --stop_early.")


def _check_seeds(flag: str, first: int, end: int) -> None:
    check_at_least(f"{flag}_from", first, 0)
    if end <= first:
        raise InputError(
            f"{flag} {end} leaves nothing to run: seeds go from {flag}_from, {first}, up to but "
            f"not including {flag}."
        )


def check_grids(grids: Sequence[Grid], free_args: Mapping[str, Any]) -> None:
    """Raise InputError, with the nearest name, for what a grid names and nobody has."""
    for grid in grids:
        _check_seeds("--n_hparams", grid.n_hparams_from, grid.n_hparams)
        _check_seeds("--n_trials", grid.n_trials_from, grid.n_trials)
        if grid.run_args.get("diagnostics"):
            _check_watched(grid.algorithms)
        for setting, dataset in itertools.product(filter(None, grid.settings()), grid.datasets):
            _check_setting(setting, dataset)
        overrides = parse_hparams(grid.run_args.get("hparams"))
        for dataset, algorithm in itertools.product(grid.datasets, grid.algorithms):
            environments(dataset, grid.data_dir)
            registry.run_hparams(algorithm, dataset, overrides=overrides)
        first = {**next(grid.train_args()), **free_args}
        for imbalance in grid.settings():
            TrainArguments(**{**first, "imbalance": imbalance}).check()


def _check_watched(algorithms: Sequence[str]) -> None:
    """Raise InputError for algorithms whose updates cannot be watched."""
    unfit = [name for name in algorithms if not _is_watchable(name)]
    if unfit:
        raise InputError(
            f"--diagnostics cannot watch {', '.join(unfit)}: their updates do not use "
            "the minibatches unchanged.\n"
            "Leave them out of --algorithms, or launch them without --diagnostics."
        )


def _is_watchable(algorithm: str) -> bool:
    try:
        make_callback("diagnostics").check(algorithm)
    except UnsuitableAlgorithm:
        return False
    return True


def _check_setting(setting: str, dataset: str) -> None:
    """Raise InputError for an unknown setting, or one without a table for ``dataset``.

    Whether a generated table fits the images that there are is known once they are read.
    """
    if Path(setting).suffix.lower() in FILE_SUFFIXES:
        FromFile(setting).table(dataset, {})
        return
    name, parameters = parse_setting(setting)
    made = build_setting(name, parameters)
    if not isinstance(made, GeneratedSetting):
        made.table(dataset, {})


def check_data(jobs: Iterable[Job]) -> None:
    """Raise InputError if a dataset of the jobs is missing here, or cannot be split as asked.

    Each setting is tried once on each dataset, as every run of them would. A dataset is read once
    for all its settings: it takes a while if it has many folders.
    """
    args = {(a["dataset"], a["data_dir"], a.get("imbalance"), a.get("validation")): job.arguments()
            for job in jobs for a in [job.train_args]}  # fmt: skip
    for dataset, data_dir in dict.fromkeys(key[:2] for key in args):
        if missing := _missing_folder(dataset, data_dir):
            raise InputError(
                f"no folder {missing}, where {dataset} is looked for. "
                "Name the directory above it with --data_dir."
            )
        data = dataset_class(dataset, data_dir)
        if hasattr(data, "find_images"):
            data.find_images(data_dir)
    counts: dict[tuple[str, str], Callable[[], LabelCounts]] = {}
    for (dataset, data_dir, setting, _), run in args.items():
        if setting is None:
            continue
        data = dataset_class(dataset, data_dir)
        hparams = registry.run_hparams(
            run.algorithm, getattr(data, "HPARAMS_LIKE", None) or dataset
        )
        reading = functools.partial(preparation.label_counts, data_dir, data, hparams)
        once = counts.setdefault((dataset, data_dir), functools.cache(reading))
        preparation.split_table(run, data, once)


def _missing_folder(dataset: str, data_dir: str) -> Path | None:
    """Return the folder in which a dataset is looked for, if this machine lacks it."""
    name = getattr(dataset_class(dataset, data_dir), "FOLDER", None)
    folder = Path(data_dir, name) if name else None
    return folder if folder and not folder.is_dir() else None


def check_data_unchanged(jobs: Iterable[Job]) -> None:
    """Raise InputError if the data changed since jobs had results: files, labels or split table.

    One job of each dataset, setting and target is compared. A dataset that is not on this machine,
    as on a cluster's login node, is not.
    """
    reader, seen = DataReader(), set()
    for job in jobs:
        args = job.train_args
        dataset, data_dir, setting = args["dataset"], args["data_dir"], args.get("imbalance")
        split = setting and (*args["test_envs"], args.get("validation"))
        if (dataset, data_dir, setting, split) in seen:
            continue
        then = read_data_digest(job.folder) if finished_steps(job.folder) else None
        if then is None:
            continue
        seen.add((dataset, data_dir, setting, split))
        if _missing_folder(dataset, data_dir):
            continue
        change = describe_data_change(then, reader.digest(job.arguments()))
        if change:
            name = "/".join(filter(None, (dataset, setting)))
            raise InputError(
                f"{job.folder.parent} has runs of {name} on other data: {change}.\n"
                "Launch into another --output_dir, or bring the data back as they were."
            )


def prepare_features(jobs: Iterable[Job]) -> None:
    """Compute the frozen features that the jobs train on, unless they are there.

    That is done in a process of its own, which leaves the memory, and a GPU, to the jobs. Raises
    InputError if it fails.
    """
    needed: dict[tuple[str | None, ...], TrainArguments] = {}
    for job in jobs:
        args = job.arguments()
        if is_frozen(args.hparam_overrides()):
            key = (args.dataset, args.data_dir, args.feature_cache, args.hparams)
            needed.setdefault(key, args)
    if needed:
        fork_server.call(_prepare_features, list(needed.values()), threads=torch.get_num_threads())


def _prepare_features(needed: Sequence[TrainArguments]) -> None:
    for args in needed:
        preparation.prepare_features(args)
