"""What smaller sweeps would have found, resampled from the runs of the big comparison.

A budget is a number of draws of the hyper-parameters and of trials. As in a sweep, draw 0 is the
defaults; the others of a smaller budget are drawn at random from those there are, for every trial
its own, since the trials of a sweep have different hyper-parameters; of a trial, all rows, targets
and settings have the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from comparison import order
from scipy.stats import kendalltau
from studies import DRAW, iterate_boards

RESAMPLES = 100


@dataclass(frozen=True)
class Board:
    """The runs of a dataset and setting: rows x targets x trials x draws.

    ``preference``: the higher, the sooner the run is selected. ``value``: the measure on the
    target, in percent, at the step that is selected in the run.
    """

    dataset: str
    setting: str
    rows: list[str]
    preference: np.ndarray
    value: np.ndarray

    def results(self, draws: np.ndarray) -> np.ndarray:
        """Return rows x trials: what is selected among ``draws`` (trials x draws), over targets."""
        trials = np.arange(len(draws))[:, None]
        best = self.preference[:, :, trials, draws].argmax(axis=-1, keepdims=True)
        chosen = np.take_along_axis(self.value[:, :, trials, draws], best, axis=-1)
        return np.asarray(chosen[..., 0].mean(axis=1))

    @property
    def all_draws(self) -> np.ndarray:
        """All draws of every trial (trials x draws)."""
        trials, draws = self.value.shape[2:]
        return np.tile(np.arange(draws), (trials, 1))

    def full(self) -> np.ndarray:
        """Return rows x trials: the results with all draws."""
        return self.results(self.all_draws)


def build_boards(
    runs: pd.DataFrame, criterion: str = "balanced", measure: str = "overall"
) -> list[Board]:
    """Return the boards of runs that all have the same algorithms, and each complete draws."""
    rows = sorted(runs["algorithm"].unique())
    first = order(runs, criterion).drop_duplicates(DRAW)
    first = first.assign(preference=-np.arange(len(first)))
    boards = []
    for dataset, setting, here in iterate_boards(first):
        here = here.sort_values(["algorithm", "test_env", "trial_seed", "hparams_seed"])
        shape = here[["algorithm", "test_env", "trial_seed", "hparams_seed"]].nunique()
        preference, value = (
            here[name].to_numpy().reshape(tuple(shape)) for name in ("preference", measure)
        )
        boards.append(Board(dataset, setting, rows, preference, value * 100))
    return boards


def with_most_draws(boards: Sequence[Board]) -> list[Board]:
    """Return the boards that have as many draws as any."""
    most = max(board.value.shape[3] for board in boards)
    return [board for board in boards if board.value.shape[3] == most]


def sample_draws(count: int, size: int, trials: int, rng: np.random.Generator) -> np.ndarray:
    """Return trials x ``size`` draws: the defaults, and others at random of ``count`` in all."""
    others = [rng.choice(np.arange(1, count), size - 1, replace=False) for _ in range(trials)]
    return np.array([[0, *sorted(each)] for each in others], dtype=int)


def simulate(boards: Sequence[Board], size: int, *, defaults: bool = True) -> np.ndarray:
    """Return resamples x boards x rows x trials: the results with ``size`` draws.

    With all draws, or the defaults alone, there is one resample. Without ``defaults`` a single
    draw is one of the others.
    """
    rng = np.random.default_rng(0)
    trials, count = boards[0].value.shape[2:]
    if not defaults:
        sampled = [rng.integers(1, count, size=(trials, 1)) for _ in range(RESAMPLES)]
    else:
        resamples = 1 if size in (1, count) else RESAMPLES
        sampled = [sample_draws(count, size, trials, rng) for _ in range(resamples)]
    return np.array([[board.results(draws) for board in boards] for draws in sampled])


def tau(one: np.ndarray, other: np.ndarray) -> float:
    """Return Kendall's tau-b between two rankings, given by the figures of the rows."""
    return float(kendalltau(one, other, method="asymptotic").statistic)


def agreement(results: np.ndarray, full: np.ndarray, trials: int) -> np.ndarray:
    """Return tau with the ranking ``full`` (rows), for every resample and choice of trials.

    ``results``: resamples x rows x trials.
    """
    chosen = list(itertools.combinations(range(results.shape[-1]), trials))
    return np.array(
        [tau(each[:, list(some)].mean(axis=1), full) for each in results for some in chosen]
    )


def repeatability(results: np.ndarray) -> np.ndarray:
    """Return tau between the rankings of two trials, for every resample and pair of trials."""
    pairs = list(itertools.combinations(range(results.shape[-1]), 2))
    return np.array([tau(each[:, a], each[:, b]) for each in results for a, b in pairs])


def share_in_top(results: np.ndarray, full: np.ndarray, trials: int, top: int) -> float:
    """Return how often the first row of the budget is among the ``top`` of the ranking ``full``."""
    best = set(np.argsort(-full, kind="stable")[:top])
    chosen = list(itertools.combinations(range(results.shape[-1]), trials))
    firsts = [each[:, list(some)].mean(axis=1).argmax() for each in results for some in chosen]
    return float(np.mean([first in best for first in firsts]))


def error_of_difference(results: np.ndarray, rows: Sequence[int] | None = None) -> float:
    """Return the standard error of the difference of two rows in one trial, in points.

    Rows are paired by trial; the root of the mean square over all pairs of ``rows``. Over n trials
    the error is smaller by the root of n.
    """
    chosen = results if rows is None else results[:, list(rows)]
    pairs = itertools.combinations(range(chosen.shape[1]), 2)
    spread = [(chosen[:, a] - chosen[:, b]).var(axis=-1, ddof=1).mean() for a, b in pairs]
    return float(np.sqrt(np.mean(spread)))
