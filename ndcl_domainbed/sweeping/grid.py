"""A grid of runs: trials x settings x datasets x algorithms x test domains x hyper-parameters."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imbalance_splits.published import find_domains
from imbalance_splits.seeds import seed_hash
from ndcl_domainbed.hparams import SHORT_FREQ, SHORT_RUN, is_frozen
from ndcl_domainbed.sweeping.jobs import Job, make_job
from ndcl_domainbed.training.arguments import (
    DEFAULT_HOLDOUT,
    NO_IMBALANCE,
    TASKS,
    parse_hparams,
    plain_path,
    setting_named,
)


@dataclass(frozen=True)
class Grid:
    """The values of a sweep's flags, by their names.

    ``test_envs`` are the domains that are left out, by index or name; None for all of them.
    ``hparams_seed`` runs from ``n_hparams_from`` to ``n_hparams`` - 1, and ``trial_seed`` from
    ``n_trials_from`` to ``n_trials`` - 1. ``imbalance`` holds
    settings, table files or "none"; with None the datasets are split as DomainBed does.
    ``run_args`` are the arguments that all runs share, as far as they were given.
    """

    datasets: Sequence[str]
    algorithms: Sequence[str]
    data_dir: str
    n_hparams_from: int = 0
    n_hparams: int = 20
    n_trials_from: int = 0
    n_trials: int = 3
    test_envs: Sequence[int | str] | None = None
    single_test_envs: bool = False
    imbalance: Sequence[str] | None = None
    run_args: Mapping[str, Any] = field(default_factory=dict)

    def settings(self) -> list[str | None]:
        """Return the settings; None is DomainBed's ordinary split, which "none" stands for."""
        given = dict.fromkeys(map(plain_path, self.imbalance or [NO_IMBALANCE]))
        return [setting_named(name) for name in given]

    def test_env_choices(self, dataset: str) -> list[list[int]]:
        """Return the choices of test domains: each alone and, unless single, each pair.

        With fewer than three domains there are no pairs: nothing would be left to train on.
        Raises InputError for a domain that the dataset does not have.
        """
        names = environments(dataset, self.data_dir)
        words = range(len(names)) if self.test_envs is None else self.test_envs
        envs = sorted(set(find_domains(words, dataset, names)))
        single = [[env] for env in envs]
        if self.single_test_envs or len(names) < 3:
            return single
        return single + [list(pair) for pair in itertools.combinations(envs, 2)]

    def train_args(self) -> Iterator[dict[str, Any]]:
        """Yield the arguments of every run of the grid.

        They have DomainBed's keys, and this project's only where they were given, so that
        without them the job's hash is the one that DomainBed computes.
        """
        datasets = list(dict.fromkeys(map(plain_path, self.datasets)))
        choices = {dataset: self.test_env_choices(dataset) for dataset in datasets}
        trials = range(self.n_trials_from, self.n_trials)
        blocks = itertools.product(trials, self.settings(), datasets, self.algorithms)
        for trial_seed, setting, dataset, algorithm in blocks:
            for test_envs in choices[dataset]:
                for hparams_seed in range(self.n_hparams_from, self.n_hparams):
                    args = {
                        "dataset": dataset,
                        "algorithm": algorithm,
                        "test_envs": test_envs,
                        "holdout_fraction": DEFAULT_HOLDOUT,
                        "hparams_seed": hparams_seed,
                        "data_dir": self.data_dir,
                        "task": TASKS[0],
                        "trial_seed": trial_seed,
                        "seed": seed_hash(dataset, algorithm, test_envs, hparams_seed, trial_seed),
                        **self.run_args,
                    }
                    yield args if setting is None else {**args, "imbalance": setting}


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
    read = functools.cache(dataset_class)  # to make the class of a folder is to list it
    for grid in grids:
        for args in grid.train_args():
            data = read(args["dataset"], args["data_dir"])
            steps = args.get("steps") or usual_length(args, data)[0]
            names = [data.ENVIRONMENTS[env] for env in args["test_envs"]]
            job = make_job(args, output_dir, steps, dict(free_args or {}), names)
            jobs.setdefault(job.folder.name, job)
    return list(jobs.values())


def loader_processes(train_args: Mapping[str, Any]) -> int:
    """Return how many loader processes a run may use that is not given their number."""
    if is_frozen(parse_hparams(train_args.get("hparams"))):
        return 0
    return int(dataset_class(train_args["dataset"], train_args["data_dir"]).N_WORKERS)


def usual_length(train_args: Mapping[str, Any], data: Any) -> tuple[int, int]:
    """Return a run's updates if it is not given their number, and how often it is evaluated.

    ``data`` is the class of its dataset.
    """
    if is_frozen(parse_hparams(train_args.get("hparams"))):
        return SHORT_RUN, SHORT_FREQ
    return int(data.N_STEPS), int(data.CHECKPOINT_FREQ)
