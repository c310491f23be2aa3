"""Model selection: which step of which run is reported.

Every criterion chooses, for each (dataset, setting, algorithm, target domain, trial), one record
among all steps of all hyper-parameter draws, by an accuracy that it may look at. What is reported
is the target's "in" split at that record. The first three are DomainBed's (Gulrajani and
Lopez-Paz, 2021, section 3); the fourth is for imbalanced splits.

Ties go to the draw with the highest hparams_seed and, within a draw, to the record that comes
first, as they fall in DomainBed. Its own criteria are in its arithmetic, in which the last bit of a
mean may break a tie; the balanced validation splits are small and tie often, so there means that
differ by rounding alone are equal. A record that lacks an accuracy which the criterion needs is
never chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from imbalance_splits.errors import unknown_name
from ndcl_domainbed.results.names import METRICS
from ndcl_domainbed.results.reading import target_accuracy

CELL = ["dataset", "setting", "algorithm", "test_env"]
GROUP = [*CELL, "trial_seed"]
DECIMALS = 10
"""Means of accuracies that agree to as many decimals differ by rounding alone."""

_DRAW = ["dataset", "setting", "algorithm", "trial_seed", "hparams_seed"]

Scored = tuple[np.ndarray, np.ndarray]
"""Row numbers of records, and the score of each; NaN marks a record that cannot be chosen."""


def _group_by_target(
    records: pd.DataFrame, rows: np.ndarray
) -> list[tuple[int, list[int], np.ndarray]]:
    """Return (target, its sources, which of ``rows`` have them) for the runs with one target."""
    both = records["test_env"].to_numpy()[rows] * np.int64(2**31)
    both += records["n_envs"].to_numpy()[rows]
    found = []
    for key in sorted(pd.unique(both).tolist()):
        target, count = divmod(key, 2**31)
        found.append((target, [i for i in range(count) if i != target], both == key))
    return found


def _rows_with_target(records: pd.DataFrame, usable: np.ndarray) -> np.ndarray:
    return np.flatnonzero(usable & (records["test_env"].to_numpy() >= 0))


def _mean_of(columns: list[np.ndarray]) -> np.ndarray:
    """Return the mean over ``columns``, added in the order in which NumPy adds a list."""
    return np.ascontiguousarray(np.stack(columns, axis=1)).mean(axis=1)


def _score_by_sources(records: pd.DataFrame, usable: np.ndarray, split: str) -> Scored:
    """Score every record of a run with one target by its sources' mean accuracy on ``split``."""
    rows = _rows_with_target(records, usable)
    score = np.full(len(rows), np.nan)
    for _, sources, here in _group_by_target(records, rows):
        names = [f"env{i}_{split}_acc" for i in sources]
        if names and set(names) <= set(records.columns):
            at = rows[here]
            score[here] = _mean_of([records[name].to_numpy()[at] for name in names])
    return rows, score


def _score_training(records: pd.DataFrame, usable: np.ndarray) -> Scored:
    return _score_by_sources(records, usable, "out")


def _score_balanced(records: pd.DataFrame, usable: np.ndarray) -> Scored:
    rows, score = _score_by_sources(records, usable, "val")
    return rows, score.round(DECIMALS)


def _score_oracle(records: pd.DataFrame, usable: np.ndarray) -> Scored:
    """Score the last step of every run by the target's "out" split: no early stopping."""
    rows = _rows_with_target(records, usable)
    draw = _number_groups(records, rows, [*_DRAW, "test_env"])
    step = records["step"].to_numpy()[rows]
    latest = np.flatnonzero(_is_greatest(step, draw))
    last = latest[len(latest) - 1 - np.unique(draw[latest][::-1], return_index=True)[1]]
    rows = rows[np.sort(last)]
    return rows, target_accuracy(records, "out", rows)


def _score_leave_one_out(records: pd.DataFrame, usable: np.ndarray) -> Scored:
    """Score a record by runs that left out one source more, on that source, at the same step.

    Such a run exists for every source d: the one with the test domains {target, d}, of the same
    trial and hyper-parameter draw; its accuracy on d's "in" split counts. Where a run has the
    same step twice, or two runs do, it is not known which to take: neither is.
    """
    rows = _rows_with_target(records, usable)
    pairs = _rows_of_pairs(records, usable)
    score = np.full(len(rows), np.nan)
    if not pairs:
        return rows, score
    moment = np.full(len(records), -1, dtype=np.int64)
    used = np.flatnonzero(usable)
    moment[used] = _number_groups(records, used, [*_DRAW, "step"])
    for target, sources, here in _group_by_target(records, rows):
        if not sources or any(frozenset((target, source)) not in pairs for source in sources):
            continue
        at = rows[here]
        columns = [
            _accuracy_at(records, pairs[frozenset((target, source))], source, moment, at)
            for source in sources
        ]
        score[here] = np.where(_is_alone(moment[at]), _mean_of(columns), np.nan)
    return rows, score


def _rows_of_pairs(records: pd.DataFrame, usable: np.ndarray) -> dict[frozenset[int], np.ndarray]:
    """Return the rows of the runs with two test domains, by these."""
    test_envs = records["test_envs"]
    found: dict[frozenset[int], list[np.ndarray]] = {}
    for text in test_envs.unique():
        envs = frozenset(int(env) for env in str(text).split())
        if len(envs) == 2:
            rows = np.flatnonzero(usable & (test_envs == text).to_numpy())
            found.setdefault(envs, []).append(rows)
    return {envs: np.sort(np.concatenate(rows)) for envs, rows in found.items()}


def _accuracy_at(
    records: pd.DataFrame, pair: np.ndarray, env: int, moment: np.ndarray, at: np.ndarray
) -> np.ndarray:
    """Return the "in" accuracy on ``env`` in the rows ``pair`` at the moments of the rows ``at``.

    Where a moment is there twice, the later row counts.
    """
    name = f"env{env}_in_acc"
    if name not in records or not len(pair):
        return np.full(len(at), np.nan)
    order = np.argsort(moment[pair], kind="stable")
    there = moment[pair][order]
    found = np.searchsorted(there, moment[at], side="right") - 1
    matches = (found >= 0) & (there[found] == moment[at])
    return np.where(matches, records[name].to_numpy()[pair[order][found]], np.nan)


def _is_alone(values: np.ndarray) -> np.ndarray:
    _, number, counts = np.unique(values, return_inverse=True, return_counts=True)
    return counts[number] == 1


def _number_groups(records: pd.DataFrame, rows: np.ndarray, columns: list[str]) -> np.ndarray:
    """Return a number from 0 on for every row: rows that agree in ``columns`` have the same."""
    number = np.zeros(len(rows), dtype=np.int64)
    for name in columns:
        codes, values = pd.factorize(records[name].take(rows))
        number, _ = pd.factorize(number * max(1, len(values)) + codes)
    return number


def _is_greatest(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return which values are the greatest of their group (several, where they are equal)."""
    greatest = np.full(group.max(initial=-1) + 1, -np.inf)
    np.maximum.at(greatest, group, values)
    return values == greatest[group]


@dataclass(frozen=True)
class Criterion:
    """A way to choose: its title in tables, what it needs of a sweep, and its scores."""

    title: str
    needs: str
    scores: Callable[[pd.DataFrame, np.ndarray], Scored]


CRITERIA = {
    "training": Criterion(
        "training-domain validation set",
        "records with env_out_acc of every source domain",
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
}


def criterion_names() -> list[str]:
    """Return the names that ``select`` knows."""
    return list(CRITERIA)


def select(records: pd.DataFrame, criterion: str, *, partial: bool = False) -> pd.DataFrame:
    """Return the record that ``criterion`` chooses for every cell and trial, a row each.

    ``records`` as :func:`~ndcl_domainbed.results.load` gives them, or a part of them. Runs that
    are not done are left out unless ``partial``. Columns: dataset, setting, algorithm, test_env,
    trial_seed, hparams_seed, step, score (what it was chosen by), the target's overall, many,
    medium, few, zero, balanced and worst accuracy, and run.

    Raises InputError for an unknown criterion.
    """
    if criterion not in CRITERIA:
        raise unknown_name("criterion", criterion, CRITERIA)
    chosen = _best(records, criterion, partial, GROUP)
    return chosen.sort_values(GROUP, kind="stable").reset_index(drop=True)


def best_of_each_draw(
    records: pd.DataFrame, criterion: str, *, partial: bool = False
) -> pd.DataFrame:
    """Return what ``select`` chooses among: the best record of every hyper-parameter draw.

    Within a cell and trial the best draw comes first, as ``select`` would take them.
    """
    if criterion not in CRITERIA:
        raise unknown_name("criterion", criterion, CRITERIA)
    chosen = _best(records, criterion, partial, [*GROUP, "hparams_seed"])
    order = [*GROUP, "score", "hparams_seed"]
    ascending = [True] * len(GROUP) + [False, False]
    return chosen.sort_values(order, ascending=ascending).reset_index(drop=True)


def _best(records: pd.DataFrame, criterion: str, partial: bool, groups: list[str]) -> pd.DataFrame:
    usable = np.ones(len(records), dtype=bool) if partial else records["done"].to_numpy()
    rows, score = CRITERIA[criterion].scores(records, usable)
    known = ~np.isnan(score) & records["overall"].notna().to_numpy()[rows]
    rows, score = rows[known], score[known]
    group = _number_groups(records, rows, groups)
    best = _is_greatest(score, group)
    rows, score, group = rows[best], score[best], group[best]
    draw = records["hparams_seed"].to_numpy()[rows]
    order = np.lexsort((rows, -draw, group))
    first = np.sort(order[np.flatnonzero(np.diff(group[order], prepend=-1))])
    chosen = records.iloc[rows[first]].assign(score=score[first])
    return chosen[[*GROUP, "hparams_seed", "step", "score", *METRICS, "run"]]
