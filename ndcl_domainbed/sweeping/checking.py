"""Everything that can be known to be wrong with a sweep, before any of it is launched."""

from __future__ import annotations

import dataclasses
import itertools
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imbalance_splits.settings import build_setting, parse_setting
from imbalance_splits.settings.base import GeneratedSetting
from imbalance_splits.settings.from_file import FILE_SUFFIXES, FromFile
from ndcl_domainbed import backend, registry
from ndcl_domainbed.errors import InputError
from ndcl_domainbed.sweeping.grid import Grid, environments
from ndcl_domainbed.sweeping.launchers import get_launcher
from ndcl_domainbed.training.arguments import TrainArguments, parse_hparams
from ndcl_domainbed.training.callbacks import UnsuitableAlgorithm, make_callback


def completed(grid: Grid) -> Grid:
    """Return ``grid`` with all algorithms, or all datasets but Debug*, where none were named."""
    real = [name for name in backend.dataset_names() if not name.startswith("Debug")]
    return dataclasses.replace(
        grid,
        algorithms=registry.algorithm_names() if grid.algorithms is None else grid.algorithms,
        datasets=real if grid.datasets is None else grid.datasets,
    )


def check_options(options: Namespace) -> None:
    """Raise InputError for an unknown launcher or a number that makes no sense."""
    get_launcher(options.command_launcher)
    _at_least("--jobs", options.jobs, 1)
    _at_least("--retries", options.retries, 0)


def check_grids(grids: Sequence[Grid], free_args: Mapping[str, Any]) -> None:
    """Raise InputError, with the nearest name, for what a grid names and nobody has."""
    for grid in grids:
        _at_least("--n_trials", grid.n_trials, 1)
        _at_least("--n_hparams_from", grid.n_hparams_from, 0)
        if grid.n_hparams <= grid.n_hparams_from:
            raise InputError(
                f"--n_hparams {grid.n_hparams} leaves nothing to run: the seeds go from "
                f"--n_hparams_from {grid.n_hparams_from} to --n_hparams, without it."
            )
        if grid.diagnostics:
            _check_watched(grid.algorithms)
        for setting, dataset in itertools.product(filter(None, grid.settings()), grid.datasets):
            _check_setting(setting, dataset)
        overrides = parse_hparams(grid.hparams)
        for dataset, algorithm in itertools.product(grid.datasets, grid.algorithms):
            environments(dataset, grid.data_dir)
            registry.run_hparams(algorithm, dataset, overrides=overrides)
        TrainArguments(**next(grid.train_args()), **free_args).check()


def _check_watched(algorithms: Sequence[str]) -> None:
    """Raise InputError for algorithms whose updates cannot be watched."""
    unfit = [name for name in algorithms if not _is_watchable(name)]
    if unfit:
        raise InputError(
            f"--diagnostics cannot watch {', '.join(unfit)}: their updates are not of the "
            "minibatches as they are.\n"
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


def _at_least(flag: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise InputError(f"{flag} must be at least {least}; it was given {value}")
