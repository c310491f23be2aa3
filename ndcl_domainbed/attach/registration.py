"""Adds to the modules of the checkout, and wraps some of its functions.

``default_hparams`` and ``random_hparams`` know our names too, ``split_dataset`` asks a domain of
ours to split itself, ``InfiniteDataLoader`` can draw from fewer images than a batch has, and the
launchers start attached jobs. For everything else they do what they did.
"""

from __future__ import annotations

import functools
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from domainbed import algorithms, command_launchers, datasets, hparams_registry
from domainbed.lib import fast_data_loader, misc

from imbalance_splits.errors import InputError
from imbalance_splits.published import published_settings
from imbalance_splits.settings import get_setting, setting_names
from imbalance_splits.settings.base import GeneratedSetting
from ndcl_domainbed import algorithms as additions
from ndcl_domainbed import backend, registry
from ndcl_domainbed.attach.imbalanced import ImbalancedVersion, SourceDomain
from ndcl_domainbed.attach.training_run import TrainingRun, steps_of_script
from ndcl_domainbed.hparams import Hparams

_JOB = re.compile(r"\S*python[\d.]*\s+-m\s+(?=domainbed\.scripts\.)")

_run: TrainingRun | None = None
"""The run that this process prepares, once the script has asked for its hyper-parameters."""


@functools.cache
def register_all() -> None:
    """Add everything to the checkout's modules, once."""
    _register_algorithms()
    for name in backend.dataset_names():
        register_dataset(name, backend.get_dataset_class(name))
    _wrap_hparams()
    _wrap_split()
    _wrap_loader()
    for name, launcher in command_launchers.REGISTRY.items():
        command_launchers.REGISTRY[name] = _attach_jobs(launcher)


def _register_algorithms() -> None:
    """Add the algorithms; one of the checkout's own keeps its name."""
    for name, cls in additions.classes().items():
        if name not in backend.algorithm_classes():
            setattr(algorithms, name, cls)
            algorithms.ALGORITHMS.append(name)


def settings_for(dataset: str) -> list[str]:
    """Return the settings that a dataset can have by name.

    They are those that need no more than label counts, and those published for the dataset.
    """
    generated = [
        name for name in setting_names() if issubclass(get_setting(name), GeneratedSetting)
    ]
    return sorted({*generated, *published_settings(dataset)})


def register_dataset(name: str, cls: Any) -> None:
    """Add a dataset, unless the checkout has it, and its version under every setting."""
    versions = {name: cls}
    for setting in settings_for(name):
        version = f"{name}_{setting}"
        attributes = {"BASE_NAME": name, "SETTING": setting, "__doc__": f"{name} under {setting}."}
        versions[version] = type(version, (ImbalancedVersion, cls), attributes)
    for version, made in versions.items():
        if version not in vars(datasets):
            setattr(datasets, version, made)
            datasets.DATASETS.append(version)


def _wrap_hparams() -> None:
    """Have the registry of hyper-parameters know our algorithms and our datasets."""
    for name, ours in (
        ("default_hparams", registry.default_hparams),
        ("random_hparams", registry.random_hparams),
    ):
        theirs = getattr(hparams_registry, name)
        setattr(hparams_registry, name, _with_ours(theirs, ours))


def _with_ours(theirs: Callable[..., Any], ours: Callable[..., Hparams]) -> Callable[..., Hparams]:
    @functools.wraps(theirs)
    def hparams(algorithm: str, dataset: str, *seed: int, **named: int) -> Hparams:
        global _run
        cls = getattr(datasets, dataset, None)
        base = getattr(cls, "HPARAMS_LIKE", None) or getattr(cls, "BASE_NAME", dataset)
        give = ours if algorithm in registry.algorithm_names() else theirs
        values = Hparams(give(algorithm, base, *seed, **named))
        _run = TrainingRun(values, steps_of_script(getattr(cls, "N_STEPS", 0)))
        return values

    return hparams


def _wrap_split() -> None:
    """Split a domain of ours by its own rule, and tell the algorithm about every split."""
    theirs = misc.split_dataset

    @functools.wraps(theirs)
    def split_dataset(dataset: Any, n: int, seed: int = 0) -> tuple[Any, Any]:
        ours = isinstance(dataset, SourceDomain)
        outside, inside = dataset.split(seed) if ours else theirs(dataset, n, seed)
        if _run is not None:
            _run.add(dataset, inside)
        return outside, inside

    misc.split_dataset = split_dataset


def _wrap_loader() -> None:
    """Let the loader of training images draw from a domain that is smaller than a batch.

    Without weights it draws with replacement in passes of the domain's length and drops the
    incomplete last batch, so a smaller domain never gives one. With weights a pass is as long as
    a batch, and equal weights draw uniformly.
    """
    theirs = fast_data_loader.InfiniteDataLoader.__init__

    @functools.wraps(theirs)
    def __init__(self: Any, dataset: Any, weights: Any, batch_size: int, num_workers: int) -> None:
        if weights is None and len(dataset) < batch_size:
            weights = torch.ones(len(dataset))
        theirs(self, dataset, weights, batch_size, num_workers)

    fast_data_loader.InfiniteDataLoader.__init__ = __init__


def _attach_jobs(launcher: Callable[[list[str]], Any]) -> Callable[[Sequence[str]], Any]:
    """Return a launcher that attaches the jobs which ``launcher`` starts."""

    @functools.wraps(launcher)
    def launch(commands: Sequence[str]) -> Any:
        return launcher([attached_command(command) for command in commands])

    return launch


def attached_command(command: str) -> str:
    """Return a job's shell command such that the running interpreter runs it, attached.

    Raises InputError for a command that does not run one of the checkout's scripts.
    """
    start = f"{shlex.quote(sys.executable)} -m ndcl_domainbed.attach "
    attached, found = _JOB.subn(lambda _: start, command, count=1)
    if not found:
        raise InputError(
            f"this job cannot be attached; 'python -m domainbed.scripts…' was expected: {command}"
        )
    return attached
