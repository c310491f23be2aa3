"""The chosen runs for the page: learning curves, and accuracy by class.

For every cell the run of the first trial is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ndcl_domainbed.results.boards import Board
from ndcl_domainbed.results.chosen import KEYS
from ndcl_domainbed.results.details import class_accuracies
from ndcl_domainbed.results.leaderboards import Leaderboards
from ndcl_domainbed.results.reading import Sweep
from ndcl_domainbed.results.report.boards import key_of
from ndcl_domainbed.results.splits import read_split


def runs_data(sweep: Sweep, built: Sequence[Leaderboards]) -> dict[str, Any]:
    """Return ``chosen``: criterion -> board -> algorithm -> domain -> run and step; ``curves`` of
    these runs; and ``classes``: board -> domain -> names, training counts, shot groups.

    Accuracies are whole thousandths; null where there is none.
    """
    finder = _RunFinder(sweep)
    chosen = {
        result.criterion: {key_of(board): finder.describe_chosen(board) for board in result.boards}
        for result in built
    }
    return {"chosen": chosen, "curves": finder.curves, "classes": finder.classes}


class _RunFinder:
    """Looks runs up, and keeps each one's curve once."""

    def __init__(self, sweep: Sweep) -> None:
        self.curves: list[dict[str, Any]] = []
        self.classes: dict[str, dict[str, Any]] = {}
        self._sweep = sweep
        self._run_of = sweep.records["run"].to_numpy()
        columns = [sweep.runs[name].astype(object).tolist() for name in KEYS]
        self._numbers = {key: number for number, key in enumerate(zip(*columns, strict=True))}
        self._curve_numbers: dict[int, int] = {}

    def describe_chosen(self, board: Board) -> dict[str, dict[str, Any]]:
        """Return algorithm -> domain -> what was chosen, for a board under a criterion."""
        selected = board.selected.sort_values("trial_seed")
        firsts = selected.drop_duplicates(["algorithm", "test_env"])
        found: dict[str, dict[str, Any]] = {}
        for row in firsts.to_dict("records"):
            number = self._numbers[tuple(row[name] for name in KEYS)]
            targets = [int(env) for env in self._sweep.runs["test_envs"].iloc[number].split()]
            per_class = class_accuracies(
                row["run"], row["step"], targets, str(self._sweep.runs["variant"].iloc[number])
            )
            if per_class is not None:
                self._keep_classes(key_of(board), str(row["test_env"]), row["run"])
            if number not in self._curve_numbers:
                self._curve_numbers[number] = len(self.curves)
                self.curves.append(self._curve(number, targets))
            found.setdefault(row["algorithm"], {})[str(row["test_env"])] = {
                "curve": self._curve_numbers[number],
                "step": row["step"],
                "trial": row["trial_seed"],
                "draw": row["hparams_seed"],
                "classes": per_class and [_thousandths(value) for value in per_class],
            }
        return found

    def _curve(self, number: int, targets: list[int]) -> dict[str, Any]:
        first, last = np.searchsorted(self._run_of, [number, number + 1])
        rows = self._sweep.records.iloc[first:last].sort_values("step")
        sources = [e for e in range(self._sweep.runs["n_envs"].iloc[number]) if e not in targets]
        return {
            "steps": rows["step"].tolist(),
            "target": _mean_series(rows, [f"env{env}_in_acc" for env in targets]),
            "out": _mean_series(rows, [f"env{env}_out_acc" for env in sources]),
            "val": _mean_series(rows, [f"env{env}_val_acc" for env in sources]),
        }

    def _keep_classes(self, board: str, env: str, folder: str) -> None:
        by_env = self.classes.setdefault(board, {})
        if env in by_env:
            return
        split = read_split(folder) or {}
        counts = np.array(list(split.get("train_counts", {}).values()), dtype=np.int64)
        if counts.ndim == 2:
            by_env[env] = {
                "names": split.get("classes", []),
                "counts": counts.sum(axis=0).tolist(),
                "shots": split.get("shots"),
            }


def _mean_series(rows: pd.DataFrame, names: Sequence[str]) -> list[int | None] | None:
    """Return the mean over the columns ``names``; None where they are not all there."""
    if not names or not set(names) <= set(rows.columns):
        return None
    values = rows[list(names)].to_numpy().mean(axis=1)
    return None if np.isnan(values).all() else [_thousandths(value) for value in values.tolist()]


def _thousandths(value: float | None) -> int | None:
    return None if value is None or value != value else round(1000 * value)
