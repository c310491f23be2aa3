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
from typing import NamedTuple, cast

import numpy as np
import pandas as pd

from imbalance_splits.errors import unknown_name
from imbalance_splits.shots import SCORE_DECIMALS
from ndcl_domainbed.results.names import METRICS
from ndcl_domainbed.results.parsing import CLASS, F1, WORST_VALIDATION
from ndcl_domainbed.results.record_table import target_accuracy

CELL = ["dataset", "setting", "algorithm", "test_env"]
GROUP = [*CELL, "trial_seed"]

_DRAW = ["dataset", "setting", "algorithm", "trial_seed", "hparams_seed"]


class Scored(NamedTuple):
    """Row numbers of records, and the score of each; NaN marks a record that cannot be chosen.

    ``second``: what decides between equal scores, if anything but the draw and the row does.
    """

    rows: np.ndarray
    score: np.ndarray
    second: np.ndarray | None = None


def _rows_with_target(records: pd.DataFrame, usable: np.ndarray) -> np.ndarray:
    return np.flatnonzero(usable & (records["test_env"].to_numpy() >= 0))


def _group_by_domains(
    records: pd.DataFrame, rows: np.ndarray
) -> Iterator[tuple[list[int], list[int], np.ndarray]]:
    """Yield (test domains, sources, which of ``rows`` have them)."""
    keys = records[["test_envs", "n_envs"]].iloc[rows].reset_index(drop=True)
    for key, here in keys.groupby(["test_envs", "n_envs"], observed=True).indices.items():
        text, count = cast("tuple[str, int]", key)
        targets = [int(env) for env in text.split()]
        yield targets, [env for env in range(count) if env not in targets], np.asarray(here)


def _mean_of(columns: list[np.ndarray]) -> np.ndarray:
    """Return the mean over ``columns``, added in the order in which NumPy adds a list."""
    return np.ascontiguousarray(np.stack(columns, axis=1)).mean(axis=1)


def _score_by_sources(records: pd.DataFrame, usable: np.ndarray, split: str) -> Scored:
    """Score every record of a cell by its sources' mean accuracy on ``split``."""
    rows = _rows_with_target(records, usable)
    score = np.full(len(rows), np.nan)
    for _, sources, here in _group_by_domains(records, rows):
        names = [f"env{env}_{split}_acc" for env in sources]
        if names and set(names) <= set(records.columns):
            score[here] = _mean_of([records[name].to_numpy()[rows[here]] for name in names])
    return Scored(rows, score)


def _score_training(records: pd.DataFrame, usable: np.ndarray) -> Scored:
    return _score_by_sources(records, usable, "out")


def _score_balanced(records: pd.DataFrame, usable: np.ndarray) -> Scored:
    rows, score, _ = _score_by_sources(records, usable, "val")
    return Scored(rows, score.round(SCORE_DECIMALS))


def _score_worst_class(records: pd.DataFrame, usable: np.ndarray) -> Scored:
    """Score by the class with the lowest mean accuracy over the sources' validation splits."""
    rows, mean, _ = _score_balanced(records, usable)
    if WORST_VALIDATION not in records:
        return Scored(rows, np.full(len(rows), np.nan))
    worst = records[WORST_VALIDATION].to_numpy()[rows].round(SCORE_DECIMALS)
    return Scored(rows, np.where(np.isnan(mean), np.nan, worst), mean)


def _score_oracle(records: pd.DataFrame, usable: np.ndarray) -> Scored:
    """Score the last step of every run by the target's "out" split: no early stopping."""
    draw = [*_DRAW, "test_env"]
    rows = _rows_with_target(records, usable)
    table = records[[*draw, "step"]].iloc[rows].assign(row=rows).sort_values(["step", "row"])
    rows = np.sort(table.drop_duplicates(draw, keep="last")["row"].to_numpy())
    return Scored(rows, target_accuracy(records, "out", rows))


def _score_leave_one_out(records: pd.DataFrame, usable: np.ndarray) -> Scored:
    """Score a record by runs that left out one source more, on that source, at the same step.

    Such a run exists for every source d: the one with the test domains {target, d}, of the same
    trial and hyper-parameter draw; its accuracy on d's "in" split counts, the later one where it
    has the same step twice. Where the record's own step is there twice, in its run or in two, it
    is not known which one to take: neither is.
    """
    moment = [*_DRAW, "step"]
    rows = _rows_with_target(records, usable)
    score = np.full(len(rows), np.nan)
    for targets, sources, here in _group_by_domains(records, rows):
        if len(targets) > 1 or not sources:
            continue
        mine = records[moment].iloc[rows[here]]
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
            score[here] = np.where(mine.duplicated(keep=False), np.nan, _mean_of(columns))
    return Scored(rows, score)


@dataclass(frozen=True)
class Criterion:
    """A way to choose: its title in tables, what it needs of a sweep, and its scores."""

    title: str
    needs: str
    scores: Callable[[pd.DataFrame, np.ndarray], Scored]


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
    ),
    "worst_class": Criterion(
        "worst class of the balanced validation set of the training domains",
        "runs on an imbalanced split (--imbalance), whose records have val_class_acc, the "
        "accuracies by class on the validation splits; earlier versions did not write them",
        _score_worst_class,
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
    if criterion not in CRITERIA:
        raise unknown_name("criterion", criterion, CRITERIA)
    chosen = _best(records, criterion, partial, GROUP)
    chosen = chosen.sort_values(GROUP, kind="stable").reset_index(drop=True)
    return chosen.drop(columns="second")


def best_of_each_draw(
    records: pd.DataFrame, criterion: str, *, partial: bool = False
) -> pd.DataFrame:
    """Return what ``select`` chooses among: the best record of every hyper-parameter draw.

    Within a cell and trial the best draw comes first, as ``select`` would take them.
    """
    if criterion not in CRITERIA:
        raise unknown_name("criterion", criterion, CRITERIA)
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
        rows, score, _ = CRITERIA[criterion].scores(records, usable)
        if not np.isnan(score).all():
            break
    table = records[["run", "hparams_seed"]].iloc[rows].assign(score=score).dropna()
    ranked = table.sort_values(["score", "hparams_seed"], ascending=False)
    return [str(name) for name in ranked["run"].drop_duplicates()]


def _best(records: pd.DataFrame, criterion: str, partial: bool, groups: list[str]) -> pd.DataFrame:
    usable = (~records["stopped"] if partial else records["done"]).to_numpy()
    rows, score, second = CRITERIA[criterion].scores(records, usable)
    known = ~np.isnan(score) & records["overall"].notna().to_numpy()[rows]
    keys = list(dict.fromkeys([*groups, "hparams_seed"]))
    table = (
        records[keys]
        .iloc[rows[known]]
        .assign(score=score[known], second=0 if second is None else second[known], row=rows[known])
    )
    by = ["score", "second", "hparams_seed", "row"]
    order = table.sort_values(by, ascending=[False, False, False, True])
    best = order.drop_duplicates(groups).sort_values("row")
    chosen = records.iloc[best["row"]].assign(
        score=best["score"].to_numpy(), second=best["second"].to_numpy()
    )
    more = [name for name in records.columns if name == F1 or name.startswith(CLASS)]
    return chosen[[*GROUP, "hparams_seed", "step", "score", "second", *METRICS, *more, "run"]]
