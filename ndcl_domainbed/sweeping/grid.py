"""A grid of runs: trials x settings x datasets x algorithms x test domains x hyper-parameters."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imbalance_splits.seeds import seed_hash
from imbalance_splits.table import LabelCounts
from ndcl_domainbed.errors import InputError
from ndcl_domainbed.hparams import SHORT_FREQ, SHORT_RUN, is_frozen
from ndcl_domainbed.sweeping.jobs import Job, make_job
from ndcl_domainbed.training.arguments import NO_IMBALANCE, parse_hparams, setting_named

_ONLY_IF_GIVEN = (
    "steps", "hparams", "checkpoint_freq", "skip_model_save", "uda_holdout_fraction", "precision",
    "compile", "diagnostics",
)  # fmt: skip


@dataclass(frozen=True)
class Grid:
    """The values of a sweep's flags, by their names.

    ``hparams_seed`` runs from ``n_hparams_from`` to ``n_hparams`` - 1. ``imbalance`` holds
    settings, table files or "none"; with None the datasets are split as DomainBed does. None and
    False elsewhere mean that a flag was not given.
    """

    datasets: Sequence[str]
    algorithms: Sequence[str]
    data_dir: str
    task: str
    n_hparams_from: int
    n_hparams: int
    n_trials: int
    holdout_fraction: float
    single_test_envs: bool = False
    imbalance: Sequence[str] | None = None
    steps: int | None = None
    hparams: str | None = None
    checkpoint_freq: int | None = None
    skip_model_save: bool = False
    uda_holdout_fraction: float | None = None
    precision: str | None = None
    compile: bool = False
    diagnostics: bool = False

    def settings(self) -> list[str | None]:
        """Return the settings; None is DomainBed's ordinary split, which "none" stands for."""
        return [setting_named(name) for name in self.imbalance or [NO_IMBALANCE]]

    def train_args(self) -> Iterator[dict[str, Any]]:
        """Yield the arguments of every run of the grid.

        They have DomainBed's keys, and this project's only where they were given, so that
        without them the job's hash is the one that DomainBed computes.
        """
        blocks = itertools.product(
            range(self.n_trials), self.settings(), self.datasets, self.algorithms
        )
        for trial_seed, setting, dataset, algorithm in blocks:
            for test_envs in test_env_choices(len(environments(dataset, self.data_dir)), self):
                for hparams_seed in range(self.n_hparams_from, self.n_hparams):
                    args = {
                        "dataset": dataset,
                        "algorithm": algorithm,
                        "test_envs": test_envs,
                        "holdout_fraction": self.holdout_fraction,
                        "hparams_seed": hparams_seed,
                        "data_dir": self.data_dir,
                        "task": self.task,
                        "trial_seed": trial_seed,
                        "seed": seed_hash(dataset, algorithm, test_envs, hparams_seed, trial_seed),
                    }
                    given = {name: getattr(self, name) for name in _ONLY_IF_GIVEN}
                    given["imbalance"] = setting
                    args |= {k: v for k, v in given.items() if v is not None and v is not False}
                    yield args


def test_env_choices(domains: int, grid: Grid) -> list[list[int]]:
    """Return the choices of test domains: each alone and, unless single, each pair.

    With fewer than three domains there are no pairs: nothing would be left to train on.
    """
    single = [[env] for env in range(domains)]
    if grid.single_test_envs or domains < 3:
        return single
    return single + [list(pair) for pair in itertools.combinations(range(domains), 2)]


def environments(dataset: str, data_dir: str) -> list[str]:
    """Return the names of a dataset's domains; InputError if there is no such dataset."""
    return list(dataset_class(dataset, data_dir).ENVIRONMENTS)


def dataset_class(dataset: str, data_dir: str) -> Any:
    """Return the class of a dataset; InputError if there is no such dataset."""
    from ndcl_domainbed import backend  # torch: not for --help

    return backend.get_dataset_class(dataset, data_dir)


def expand(
    grids: Iterable[Grid], output_dir: str, free_args: Mapping[str, Any] | None = None
) -> list[Job]:
    """Return the jobs of all ``grids``, each once, in order; all have the same ``free_args``."""
    jobs: dict[str, Job] = {}
    for grid in grids:
        for args in grid.train_args():
            data = dataset_class(args["dataset"], grid.data_dir)
            steps = grid.steps or usual_length(data, grid.hparams)[0]
            job = make_job(args, output_dir, steps, dict(free_args or {}))
            jobs.setdefault(job.folder.name, job)
    return list(jobs.values())


def usual_length(data: Any, hparams: str | None) -> tuple[int, int]:
    """Return the updates of a run that is given no number of them, and from which to evaluate.

    ``data`` is a dataset class, ``hparams`` the JSON text of the run's overrides.
    """
    if is_frozen(parse_hparams(hparams)):
        return SHORT_RUN, SHORT_FREQ
    return int(data.N_STEPS), int(data.CHECKPOINT_FREQ)


def check_folders(jobs: Iterable[Job]) -> None:
    """Raise InputError if this machine lacks the folder of a dataset that the jobs need."""
    for dataset, data_dir in {(j.train_args["dataset"], j.train_args["data_dir"]) for j in jobs}:
        name = getattr(dataset_class(dataset, data_dir), "FOLDER", None)
        if name and not (Path(data_dir) / name).is_dir():
            raise InputError(
                f"no folder {Path(data_dir) / name}, where {dataset} is looked for. "
                "Name the directory above it with --data_dir."
            )


def check_splits(jobs: Iterable[Job]) -> None:
    """Raise InputError if a setting makes no split of a dataset's images, such as of too few.

    Each setting is tried once on each dataset here, as every run of them would. A dataset is
    read once for all its settings: it takes a while if it has many folders.
    """
    from ndcl_domainbed import registry
    from ndcl_domainbed.training.preparation import label_counts, split_table

    split = (job.arguments() for job in jobs if "imbalance" in job.train_args)
    first = {(args.dataset, args.data_dir, args.imbalance): args for args in split}
    counts: dict[tuple[str, str], Callable[[], LabelCounts]] = {}
    for args in first.values():
        data = dataset_class(args.dataset, args.data_dir)
        like = getattr(data, "HPARAMS_LIKE", None) or args.dataset
        hparams = registry.run_hparams(args.algorithm, like)
        reading = functools.partial(label_counts, args.data_dir, data, hparams)
        once = counts.setdefault((args.dataset, args.data_dir), functools.cache(reading))
        split_table(args, data, once)
