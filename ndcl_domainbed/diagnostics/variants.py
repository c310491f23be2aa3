"""The runs of a sweep that differ in ``--hparams``: what each variant reaches on its targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import pandas as pd

from imbalance_splits.errors import InputError
from ndcl_domainbed import registry
from ndcl_domainbed.hparams import VECTORS, is_frozen
from ndcl_domainbed.results.identity import identity, is_whole
from ndcl_domainbed.results.names import METRICS
from ndcl_domainbed.results.overrides import NETWORK_HPARAMS
from ndcl_domainbed.results.parsing import read_class_accuracies
from ndcl_domainbed.results.reading import Sweep, read_sweep
from ndcl_domainbed.results.selection import select
from ndcl_domainbed.results.splits import read_split
from ndcl_domainbed.sweeping.manifest import recorded
from ndcl_domainbed.training.arguments import parse_hparams

CRITERION = "balanced"

Changes = tuple[tuple[str, Any], ...]
"""Hyper-parameters that are not at their defaults, sorted by name."""


class Variant(NamedTuple):
    """An algorithm, and what was changed in it."""

    algorithm: str
    changes: Changes

    @property
    def name(self) -> str:
        """The algorithm and its changes, as ``NDCL beta=0``."""
        return " ".join([self.algorithm, *(f"{key}={value}" for key, value in self.changes)])


class Estimate(NamedTuple):
    """A mean over targets of means over trials, its standard error, and the runs behind it.

    ``p`` is the probability of a mean as far from 0 by chance alone (Welch's t-test, two-sided);
    NaN where there is no error.
    """

    mean: float
    error: float
    runs: int
    p: float = np.nan


@dataclass(frozen=True)
class Compared:
    """The accuracies of the variants of a sweep.

    ``runs`` has a row for each variant, target and trial that is done: ``variant``, ``test_env``,
    ``trial_seed``, ``step`` (chosen by the balanced validation split) and the accuracies of
    ``METRICS`` there, shares. ``classes`` has a row for each of them and class: ``class``,
    ``images`` (training images in all sources) and ``accuracy``. ``missing`` holds the runs that
    are listed, or that other variants have, and are not done: variant -> (target, trial).
    """

    runs: pd.DataFrame
    classes: pd.DataFrame
    variants: list[Variant]
    missing: dict[Variant, list[tuple[int, int]]]

    def estimate(self, variant: Variant, metric: str) -> Estimate:
        """Return a variant's accuracy on its targets, in percent."""
        return estimate(100 * self._by_run(variant, metric))

    def difference(self, variant: Variant, other: Variant, metric: str) -> Estimate:
        """Return how much more ``variant`` has than ``other``, in points, over runs of both."""
        pairs = self._by_run(variant, metric) - self._by_run(other, metric)
        return estimate(100 * pairs)

    def _by_run(self, variant: Variant, metric: str) -> pd.Series:
        mine = self.runs[self.runs["variant"] == variant.name]
        return mine.set_index(["test_env", "trial_seed"])[metric].astype(float)


def estimate(values: pd.Series) -> Estimate:
    """Return the mean over targets of the mean over trials of ``values``, and its standard error.

    ``values`` has the levels test_env and trial_seed; NaN is left out. The error is over trials,
    the targets fixed: sqrt(Σ_t s_t²/n_t) / T with the deviation s_t over the n_t trials of target
    t; NaN if a target has one trial only. Its degrees of freedom are Welch's and Satterthwaite's.
    """
    values = values.dropna()
    if values.empty:
        return Estimate(np.nan, np.nan, 0)
    targets = values.groupby(level="test_env")
    squares = targets.var(ddof=1) / targets.size()
    error = float(np.sqrt(squares.sum(skipna=False)) / len(squares))
    mean = float(targets.mean().mean())
    return Estimate(mean, error, len(values), _p_value(mean, error, squares, targets.size()))


def _p_value(mean: float, error: float, squares: pd.Series, trials: pd.Series) -> float:
    """Return ``p`` of :class:`Estimate`, of the ``squares`` s_t²/n_t and the numbers n_t."""
    if np.isnan(error) or error == 0:
        return np.nan if np.isnan(error) or mean == 0 else 0.0
    from scipy import stats  # takes half a second

    degrees = squares.sum() ** 2 / (squares**2 / (trials - 1)).sum()
    return float(2 * stats.t.sf(abs(mean) / error, degrees))


def compare_variants(folders: Sequence[Path]) -> Compared:
    """Read the sweeps in ``folders`` as one.

    Raises InputError if they hold no run that is done, runs without balanced validation splits,
    or runs of several datasets, settings or networks.
    """
    sweep = _read(folders)
    variants = {
        str(run): _variant(orjson.loads(meta)["args"])
        for run, meta in zip(sweep.runs["run"], sweep.runs["meta"], strict=True)
        if meta != "{}"
    }
    records = sweep.frame()
    # Tables name rows by all overrides but those of every run; here only a change has a name.
    records["algorithm"] = [variants[str(run)].name for run in records["run"]]
    chosen = select(records, CRITERION).rename(columns={"algorithm": "variant"})
    if chosen.empty:
        raise InputError(
            f"{_list_folders(folders)}: no finished run has a balanced validation split: "
            "train with --imbalance."
        )
    columns = ["variant", "test_env", "trial_seed", "hparams_seed", "step", *METRICS, "run"]
    runs = chosen[columns]
    done = {(row.variant, row.test_env, row.trial_seed) for row in runs.itertuples()}
    listed = _read_listed(folders) | {
        (variant, env, trial)
        for variant in variants.values()
        for env, trial in zip(runs["test_env"], runs["trial_seed"], strict=True)
    }
    missing: dict[Variant, list[tuple[int, int]]] = {}
    for variant, env, trial in sorted(listed, key=lambda one: (one[0].name, *one[1:])):
        if (variant.name, env, trial) not in done:
            missing.setdefault(variant, []).append((env, trial))
    everyone = sorted({variant for variant, *_ in listed}, key=_sort_key)
    return Compared(runs, _tabulate_classes(runs), everyone, missing)


def _read(folders: Sequence[Path]) -> Sweep:
    try:
        sweep = read_sweep(folders)
    except InputError as error:
        raise InputError(
            f"{_list_folders(folders)}: no folder of a sweep with results.jsonl."
        ) from error
    cells = sweep.runs[["dataset", "setting"]].drop_duplicates()
    if len(cells) > 1:
        found = ", ".join("/".join(map(str, cell)) for cell in cells.to_numpy())
        raise InputError(
            f"{_list_folders(folders)}: variants are compared on one dataset and setting, "
            f"with one network, not {found}."
        )
    return sweep


def _list_folders(folders: Sequence[Path]) -> str:
    return ", ".join(map(str, folders))


def _variant(args: dict[str, Any]) -> Variant:
    """Return the variant that a run is of; its network is that of all runs, and no change."""
    name = args["algorithm"]
    changes = parse_hparams(args.get("hparams"))
    defaults = getattr(registry.get_algorithm_class(name), "HPARAMS", {})
    dataset = VECTORS if is_frozen(changes) else args["dataset"]
    kept = [
        (key, value)
        for key, value in sorted(changes.items())
        if key not in NETWORK_HPARAMS
        and (key not in defaults or defaults[key].default_for(dataset) != value)
    ]
    return Variant(name, tuple((key, _simplify(value)) for key, value in kept))


def _simplify(value: Any) -> Any:
    """Return a value that can be compared and named: 0 for 0.0, a string for a list."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, bool | int | float | str) else str(value)


def _sort_key(variant: Variant) -> tuple[bool, int, str]:
    return variant.algorithm != "NDCL", len(variant.changes), variant.name


def _read_listed(folders: Sequence[Path]) -> set[tuple[Variant, int, int]]:
    """Return the jobs with one target that the sweeps have listed."""
    jobs = [job.train_args for folder in folders for job in recorded(str(folder))]
    found = [(identity(args), _variant(args)) for args in jobs if is_whole(args)]
    return {(variant, job.test_env, job.trial_seed) for job, variant in found if job.test_env >= 0}


def _tabulate_classes(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the target's accuracy by class of each run at its chosen step."""
    parts = []
    for row in runs.itertuples():
        values = read_class_accuracies(str(row.run), float(str(row.step)), int(str(row.test_env)))
        split = read_split(str(row.run))
        if values is None or split is None:
            continue
        part = pd.DataFrame({"class": split["classes"], "accuracy": values}, dtype=object)
        part["images"] = np.sum(list(split["train_counts"].values()), axis=0)
        parts.append(part.assign(variant=str(row.variant)))
    columns = ["variant", "class", "images", "accuracy"]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    return table[columns].astype({"images": float, "accuracy": float})
