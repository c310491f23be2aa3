"""Model selection: which step of which run is reported.

Every criterion chooses, for each (dataset, setting, algorithm, target domain, trial), one record
among all steps of all hyper-parameter draws, by an accuracy that it may look at. What is reported
is the target's "in" split at that record. The first three are DomainBed's (Gulrajani and
Lopez-Paz, 2021, section 3); the others are for imbalanced splits.

Ties go to the draw with the highest hparams_seed and, within a draw, to the record that comes
first, as they fall in DomainBed. Its own criteria are in its arithmetic, in which the last bit of a
mean may break a tie; the balanced validation splits are small and tie often, so there means that
differ by rounding alone are equal. A record that lacks an accuracy which the criterion needs is
never chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from imbalance_splits.errors import unknown_name
from imbalance_splits.shots import SCORE_DECIMALS
from ndcl_domainbed.results.names import METRICS
from ndcl_domainbed.results.parsing import CLASS, F1, WORST_VALIDATION

CELL = ["dataset", "setting", "algorithm", "test_env"]
GROUP = [*CELL, "trial_seed"]

Scores = tuple[np.ndarray, np.ndarray | None]
"""Of every record the score, NaN if it cannot be chosen, and what decides between equal scores."""

_DRAW = ["dataset", "setting", "algorithm", "trial_seed", "hparams_seed"]


def target_accuracy(columns: Any, split: str, rows: np.ndarray | None = None) -> np.ndarray:
    """Return the accuracy on ``split`` of each row's test domain; NaN where there is none.

    The mean, if the run is tested on all others than its source. ``rows``: by default all.
    """
    at = np.arange(len(columns["test_env"])) if rows is None else rows
    test_envs = pd.Categorical(columns["test_envs"])
    is_cell = np.asarray(columns["test_env"])[at] >= 0
    result = np.full(len(at), np.nan)
    for code, text in enumerate(test_envs.categories):
        here = is_cell & (test_envs.codes[at] == code)
        names = [f"env{env}_{split}_acc" for env in str(text).split()]
        if here.any() and all(name in columns for name in names):
            values = [np.asarray(columns[name])[at[here]] for name in names]
            result[here] = values[0] if len(values) == 1 else np.mean(values, axis=0)
    return result


def _find_cells(records: pd.DataFrame, usable: np.ndarray) -> np.ndarray:
    """Return the numbers of the usable rows of runs with one target."""
    return np.flatnonzero(usable & (records["test_env"].to_numpy() >= 0))


def _group_by_domains(
    records: pd.DataFrame, usable: np.ndarray
) -> Iterator[tuple[list[int], list[int], np.ndarray]]:
    """Yield (test domains, sources, the numbers of the rows that have them)."""
    rows = _find_cells(records, usable)
    keys = records[["test_envs", "n_envs"]].iloc[rows].reset_index(drop=True)
    for key, here in keys.groupby(["test_envs", "n_envs"], observed=True).indices.items():
        text, count = cast("tuple[str, int]", key)
        targets = [int(env) for env in text.split()]
        yield targets, [env for env in range(count) if env not in targets], rows[here]


def _mean_of(columns: list[np.ndarray]) -> np.ndarray:
    """Return the mean over ``columns``, added in the order in which NumPy adds a list."""
    return np.ascontiguousarray(np.stack(columns, axis=1)).mean(axis=1)


def _score_by_sources(records: pd.DataFrame, usable: np.ndarray, split: str) -> np.ndarray:
    """Score every record of a cell by its sources' mean accuracy on ``split``."""
    score = np.full(len(records), np.nan)
    for _, sources, rows in _group_by_domains(records, usable):
        names = [f"env{env}_{split}_acc" for env in sources]
        if names and set(names) <= set(records.columns):
            score[rows] = _mean_of([records[name].to_numpy()[rows] for name in names])
    return score


def _score_training(records: pd.DataFrame, usable: np.ndarray) -> Scores:
    return _score_by_sources(records, usable, "out"), None


def _score_balanced(records: pd.DataFrame, usable: np.ndarray) -> Scores:
    return _score_by_sources(records, usable, "val").round(SCORE_DECIMALS), None


def _score_worst_class(records: pd.DataFrame, usable: np.ndarray) -> Scores:
    """Score by the class with the lowest mean accuracy over the sources' validation splits."""
    mean, _ = _score_balanced(records, usable)
    if WORST_VALIDATION not in records:
        return np.full(len(records), np.nan), None
    worst = records[WORST_VALIDATION].to_numpy().round(SCORE_DECIMALS)
    return np.where(np.isnan(mean), np.nan, worst), mean


def _score_oracle(records: pd.DataFrame, usable: np.ndarray) -> Scores:
    """Score the last step of every run by the target's "out" split: no early stopping."""
    draw = [*_DRAW, "test_env"]
    rows = _find_cells(records, usable)
    table = records[[*draw, "step"]].iloc[rows].assign(row=rows).sort_values(["step", "row"])
    rows = table.drop_duplicates(draw, keep="last")["row"].to_numpy()
    score = np.full(len(records), np.nan)
    score[rows] = target_accuracy(records, "out", rows)
    return score, None


def _score_leave_one_out(records: pd.DataFrame, usable: np.ndarray) -> Scores:
    """Score a record by runs that left out one source more, on that source, at the same step.

    Such a run exists for every source d: the one with the test domains {target, d}, of the same
    trial and hyper-parameter draw; its accuracy on d's "in" split counts, the later one where it
    has the same step twice. Where the record's own step is there twice, in its run or in two, it
    is not known which one to take: neither is.
    """
    moment = [*_DRAW, "step"]
    score = np.full(len(records), np.nan)
    for targets, sources, rows in _group_by_domains(records, usable):
        if len(targets) > 1 or not sources:
            continue
        mine = records[moment].iloc[rows]
        columns = []
        for env in sources:
            name = f"env{env}_in_acc"
            spellings = [f"{targets[0]} {env}", f"{env} {targets[0]}"]
            pairs = records[usable & records["test_envs"].isin(spellings).to_numpy()]
            if name not in records or pairs.empty:
                break
            last = pairs[[*moment, name]].drop_duplicates(moment, keep="last")
            columns.append(mine.merge(last, on=moment, how="left")[name].to_numpy())
        else:
            score[rows] = np.where(mine.duplicated(keep=False), np.nan, _mean_of(columns))
    return score, None


@dataclass(frozen=True)
class Criterion:
    """A way to choose: its title in tables, what it needs of a sweep, and its scores.

    ``by_validation``: whether it looks at the balanced validation split, which an ordinary split
    lacks.
    """

    title: str
    needs: str
    scores: Callable[[pd.DataFrame, np.ndarray], Scores]
    by_validation: bool = False


CRITERIA = {
    "training": Criterion(
        "training-domain validation set",
        "records with env_out_acc of every source domain (DomainBed's own scripts evaluate no "
        "such split on an imbalanced dataset)",
        _score_training,
    ),
    "leave_one_out": Criterion(
        "leave-one-domain-out cross-validation",
        "runs with every pair of test domains, as a sweep makes them without --single_test_envs",
        _score_leave_one_out,
    ),
    "oracle": Criterion(
        "test-domain validation set (oracle)",
        "records with env_out_acc of the test domain",
        _score_oracle,
    ),
    "balanced": Criterion(
        "balanced validation set of the training domains",
        "runs on an imbalanced split (--imbalance), whose records have env_val_acc",
        _score_balanced,
        by_validation=True,
    ),
    "worst_class": Criterion(
        "worst class of the balanced validation set of the training domains",
        "runs on an imbalanced split (--imbalance), whose records have val_class_acc, the "
        "accuracies by class on the validation splits; earlier versions did not write them",
        _score_worst_class,
        by_validation=True,
    ),
}


def criterion_names() -> list[str]:
    """Return the names that ``select`` knows."""
    return list(CRITERIA)


def select(records: pd.DataFrame, criterion: str, *, partial: bool = False) -> pd.DataFrame:
    """Return the record that ``criterion`` chooses for every cell and trial, a row each.

    ``records`` as :func:`~ndcl_domainbed.results.load` gives them, or a part of them. Runs that are
    not done are left out unless ``partial``; those that a sweep stopped early are always left out.
    Columns: dataset, setting, algorithm, test_env, trial_seed, hparams_seed, step, score (what it
    was chosen by), the target's overall, many, medium, few, zero, balanced and worst accuracy,
    macro_f1 and accuracies by class where the records have them, and run. Accuracies are shares.

    Raises InputError for an unknown criterion.
    """
    chosen = _best(records, criterion, partial, GROUP).drop(columns="second")
    return chosen.sort_values(GROUP, kind="stable").reset_index(drop=True)


def best_of_each_draw(
    records: pd.DataFrame, criterion: str, *, partial: bool = False
) -> pd.DataFrame:
    """Return the best record of every hyper-parameter draw, best first in a cell and trial."""
    chosen = _best(records, criterion, partial, [*GROUP, "hparams_seed"])
    order = [*GROUP, "score", "second", "hparams_seed"]
    ascending = [True] * len(GROUP) + [False, False, False]
    chosen = chosen.sort_values(order, ascending=ascending).reset_index(drop=True)
    return chosen.drop(columns="second")


def rank_draws(records: pd.DataFrame, last_step: int) -> list[str]:
    """Return the runs of one cell and trial, the best first, by their records up to ``last_step``.

    Each counts with its best balanced validation or, on a split without one, its best
    training-domain validation; ties as in :func:`select`. The target's figures are never read.
    Runs without such an accuracy are left out.
    """
    usable = (records["step"] <= last_step).to_numpy()
    for criterion in ("balanced", "training"):
        score, _ = CRITERIA[criterion].scores(records, usable)
        if not np.isnan(score).all():
            break
    table = records[["run", "hparams_seed"]].assign(score=score).dropna()
    ranked = table.sort_values(["score", "hparams_seed"], ascending=False)
    return [str(name) for name in ranked["run"].drop_duplicates()]


def _best(records: pd.DataFrame, criterion: str, partial: bool, groups: list[str]) -> pd.DataFrame:
    if criterion not in CRITERIA:
        raise unknown_name("criterion", criterion, CRITERIA)
    usable = (~records["stopped"] if partial else records["done"]).to_numpy()
    score, second = CRITERIA[criterion].scores(records, usable)
    rows = np.flatnonzero(~np.isnan(score) & records["overall"].notna().to_numpy())
    keys = list(dict.fromkeys([*groups, "hparams_seed"]))
    table = records[keys].iloc[rows].assign(score=score[rows], row=rows)
    table["second"] = 0 if second is None else second[rows]
    by = ["score", "second", "hparams_seed", "row"]
    order = table.sort_values(by, ascending=[False, False, False, True])
    best = order.drop_duplicates(groups).sort_values("row")
    chosen = records.iloc[best["row"]].assign(
        score=best["score"].to_numpy(), second=best["second"].to_numpy()
    )
    more = [name for name in records.columns if name == F1 or name.startswith(CLASS)]
    return chosen[[*GROUP, "hparams_seed", "step", "score", "second", *METRICS, *more, "run"]]
