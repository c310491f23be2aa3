"""The tables and conclusions of docs/how_many_runs.md, from the runs of the big comparison.

`python docs/make_results.py` fills them in.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import budgets
import comparison
import numpy as np
import pandas as pd
from result_tables import format_table
from studies import BOARD, DOCS, DRAW

from ndcl_domainbed.results.labels import base_dataset

PAGE = DOCS / "how_many_runs.md"
SIZES = (5, 10)
"""Numbers of draws, beside one and all there are."""
TOP = 3
BEST = 10
RESOLVED = 1.96
"""Standard errors in half of a 95 % interval."""
CRITERIA = {
    "balanced": "balanced validation",
    "training": "training-domain validation",
    "worst_class": "worst class",
    "oracle": "oracle",
}


def title(board: budgets.Board) -> str:
    """Return the name of a board on the page."""
    return f"{base_dataset(board.dataset)} {board.setting}"


class Budget(NamedTuple):
    """A number of draws, and what was found with it, resamples x boards x rows x trials."""

    name: str
    draws: int
    results: np.ndarray


class Budgets:
    """Smaller budgets against all runs, on the boards with the most draws."""

    def __init__(self, runs: pd.DataFrame) -> None:
        self.boards = budgets.with_most_draws(budgets.build_boards(runs))
        self.titles = [title(board) for board in self.boards]
        self.full = np.array([board.full() for board in self.boards])
        self.trials, self.draws = self.boards[0].value.shape[2:]
        keys = pd.DataFrame(
            [(board.dataset, board.setting) for board in self.boards], columns=BOARD
        )
        self.seconds = runs.drop_duplicates(DRAW).merge(keys)["seconds"].mean()

    @cached_property
    def sizes(self) -> list[Budget]:
        """The numbers of draws, from the defaults to all."""
        defaults = Budget("1, the defaults", 1, budgets.simulate(self.boards, 1))
        if self.draws == 1:
            return [defaults]
        drawn = Budget("1, drawn", 1, budgets.simulate(self.boards, 1, defaults=False))
        sizes = [*(size for size in SIZES if size < self.draws), self.draws]
        return [defaults, drawn] + [
            Budget(str(size), size, budgets.simulate(self.boards, size)) for size in sizes
        ]

    def views(self, results: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return (resamples x rows x trials, figures with all runs) of all boards, and of each."""
        together = (results.mean(axis=1), self.full.mean(axis=(0, 2)))
        return [together, *zip(results.swapaxes(0, 1), self.full.mean(axis=2), strict=True)]

    @cached_property
    def best_rows(self) -> list[int]:
        """The positions of the best rows of all boards together, with all runs."""
        return np.argsort(-self.full.mean(axis=(0, 2)), kind="stable")[:BEST].tolist()

    def count_runs(self, draws: int, trials: int) -> int:
        """Return the runs of a budget on all boards."""
        return sum(board.value[:, :, 0, 0].size for board in self.boards) * draws * trials

    def error(self, budget: Budget) -> float:
        """Return the standard error of the difference of two of the best rows in one trial."""
        return budgets.error_of_difference(budget.results.mean(axis=1), self.best_rows)


class Criteria:
    """The same runs under every criterion of selection, on the boards with the most draws.

    Only draws whose runs have what every criterion needs: those of an earlier version lack the
    accuracies by class of the validation splits. A criterion that no draw has is left out.
    """

    def __init__(self, runs: pd.DataFrame, boards: list[budgets.Board]) -> None:
        runs = runs.merge(
            pd.DataFrame([(board.dataset, board.setting) for board in boards], columns=BOARD)
        )
        known = runs.groupby(DRAW)[list(comparison.SCORES)].count() > 0
        known = known.groupby([*BOARD, "hparams_seed"]).all()
        known.columns = pd.Index(comparison.CRITERIA)
        self.names = list(known.columns[known.groupby(BOARD).any().all()])
        complete = known[self.names].all(axis=1).groupby("hparams_seed").all()  # on every board
        runs = runs[runs["hparams_seed"].isin(complete.index[complete])]
        self.draws = runs["hparams_seed"].nunique()
        figures = [
            [board.full().mean(axis=1) for board in budgets.build_boards(runs, name)]
            for name in self.names
        ]
        self.accuracy = [float(np.mean(each)) for each in figures]
        self.tau = np.array([[mean_tau(one, other) for other in figures] for one in figures])


class Boards:
    """Every dataset and setting, with the draws that all have.

    ``whole``: tau of their rankings over all trials; ``single``: of one trial of each, the two of
    different trials, so that the diagonal is what repeating a board gives.
    """

    def __init__(self, runs: pd.DataFrame) -> None:
        draws = runs.groupby(BOARD)["hparams_seed"].unique()
        common = set.intersection(*map(set, draws))
        boards = budgets.build_boards(runs[runs["hparams_seed"].isin(common)])
        self.draws = len(common)
        self.titles = [title(board) for board in boards]
        self.datasets = np.array([board.dataset for board in boards])
        results = [board.full() for board in boards]
        means = [each.mean(axis=1) for each in results]
        self.whole = np.array([[budgets.tau(one, other) for other in means] for one in means])
        self.single = np.array(
            [[tau_of_trials(one, other) for other in results] for one in results]
        )


def mean_tau(one: list[np.ndarray], other: list[np.ndarray]) -> float:
    """Return the mean of tau over boards."""
    return float(np.mean([budgets.tau(*pair) for pair in zip(one, other, strict=True)]))


def tau_of_trials(one: np.ndarray, other: np.ndarray) -> float:
    """Return the mean of tau between a trial of one board and another trial of the other."""
    trials = range(one.shape[1])
    return float(
        np.mean([budgets.tau(one[:, a], other[:, b]) for a in trials for b in trials if a != b])
    )


class Findings:
    """All that the page shows."""

    def __init__(self, runs: pd.DataFrame) -> None:
        self.budgets = Budgets(runs)
        self.criteria = Criteria(runs, self.budgets.boards)
        self.boards = Boards(runs)


def with_range(values: np.ndarray) -> str:
    """Return the mean of resamples and the range of the middle 90 % of them."""
    low, high = np.quantile(values, [0.05, 0.95])
    return f"{values.mean():.2f}" + (f" [{low:.2f},\u00a0{high:.2f}]" if len(values) > 1 else "")


def budget_table(found: Budgets) -> str:
    """Return what each budget costs, and how far it agrees with all runs."""
    head = ["draws", "trials", "runs", "hours", "accuracy", "tau", *found.titles,
            f"first in top {TOP}", "same first"]  # fmt: skip
    body = []
    for budget in found.sizes:
        for trials in (1, found.trials):
            views = found.views(budget.results)
            taus = [budgets.agreement(*view, trials) for view in views]
            tops = [budgets.share_in_top(*views[0], trials, top) for top in (TOP, 1)]
            count = found.count_runs(budget.draws, trials)
            body.append(
                [budget.name, str(trials), f"{count:,}", f"{count * found.seconds / 3600:.1f}",
                 f"{budget.results.mean():.1f}", with_range(taus[0]),
                 *(f"{each.mean():.2f}" for each in taus[1:]),
                 *(f"{100 * share:.0f}\u00a0%" for share in tops)]
            )  # fmt: skip
    return format_table(head, body)


def noise_table(found: Budgets) -> str:
    """Return how far two sweeps of one trial agree, and the differences that trials resolve."""
    head = ["draws", "tau", *found.titles, "error", f"error, best {BEST}",
            *(f"resolved, {n} trials" for n in (3, 10, 30))]  # fmt: skip
    body = []
    for budget in found.sizes:
        taus = [budgets.repeatability(results) for results, _ in found.views(budget.results)]
        error = found.error(budget)
        body.append(
            [budget.name, with_range(taus[0]), *(f"{each.mean():.2f}" for each in taus[1:]),
             f"{budgets.error_of_difference(budget.results.mean(axis=1)):.2f}", f"{error:.2f}",
             *(f"{RESOLVED * error / np.sqrt(n):.1f}" for n in (3, 10, 30))]
        )  # fmt: skip
    return format_table(head, body)


def criteria_table(found: Criteria) -> str:
    """Return how far the rankings by different criteria agree, and what each selects."""
    titles = [CRITERIA[name] for name in found.names]
    body = [
        [name, *(f"{value:.2f}" for value in taus), f"{accuracy:.1f}"]
        for name, taus, accuracy in zip(titles, found.tau, found.accuracy, strict=True)
    ]
    table = format_table(["tau", *titles, "accuracy"], body)
    return f"Draws that have all criteria: {found.draws}.\n\n{table}"


def boards_table(found: Boards) -> str:
    """Return how far the rankings of datasets and settings agree, of all trials and of one."""
    body = []
    for place, name in enumerate(found.titles):
        cells = [f"{tau:.2f}" for tau in found.whole[place]]
        cells[place] = ""
        alone = [f"({tau:.2f})" for tau in found.single[place]]
        body.append([name, *(" ".join(pair).strip() for pair in zip(cells, alone, strict=True))])
    return f"Draws: {found.draws}.\n\n{format_table(['tau', *found.titles], body)}"


def conclusions(found: Findings) -> str:
    """Return what follows, each figure from the tables."""
    study, boards, trials = found.budgets, found.boards, found.budgets.trials
    ends = {"at the defaults": study.sizes[0]}
    if study.draws > 1:
        ends[f"with {study.draws} draws"] = study.sizes[-1]
    repeats = [f"{budgets.repeatability(budget.results.mean(axis=1)).mean():.2f} {where}"
               for where, budget in ends.items()]  # fmt: skip
    leads = [f"{RESOLVED * study.error(budget) / np.sqrt(trials):.1f} points {where}"
             for where, budget in ends.items()]  # fmt: skip
    defaults = study.views(study.sizes[0].results)[0]
    agreed = [budgets.agreement(*defaults, count).mean() for count in (1, trials)]
    apart = ~np.eye(len(boards.titles), dtype=bool)
    within = apart & (boards.datasets[:, None] == boards.datasets)
    others = found.criteria.tau[~np.eye(len(found.criteria.names), dtype=bool)]
    lines = [
        f"Two sweeps of one trial each, on other splits of the same images, rank the "
        f"{len(study.boards[0].rows)} rows with tau {' and '.join(repeats)}.",
        f"With {trials} trials the 95 % interval of the difference of two of the best {BEST} rows, "
        f"chosen beforehand, leaves out zero from about {' and '.join(leads)} (for these targets).",
        f"The defaults with {trials} trials, {study.count_runs(1, trials):,} runs, agree with all "
        f"{study.count_runs(study.draws, trials):,} with tau {agreed[1]:.2f}, with one trial "
        f"{agreed[0]:.2f}. The first row of a single trial is among the top {TOP} of all runs in "
        f"{round(trials * budgets.share_in_top(*defaults, 1, TOP))} of the {trials} trials.",
        f"The rankings by two criteria of selection, among the {found.criteria.draws} draws that "
        f"have all criteria, agree with tau {others.min():.2f} to {others.max():.2f}.",
        f"Two settings of a dataset agree with tau {boards.whole[within].mean():.2f} on average, "
        f"settings of different datasets with {boards.whole[apart & ~within].mean():.2f}; of one "
        f"trial each {boards.single[within].mean():.2f} and "
        f"{boards.single[apart & ~within].mean():.2f}, where the same setting has "
        f"{boards.single.diagonal().mean():.2f}.",
    ]
    scope = (
        f"The first four concern {', '.join(study.titles)} alone, where the most draws were run."
    )
    is_part = len(study.titles) < len(boards.titles)
    return f"{scope}\n\n" * is_part + "\n".join(f"- {line}" for line in lines)


def build_parts(runs: pd.DataFrame, found: Findings) -> dict[str, str]:
    """Return the generated parts of the page, by name."""
    return {
        "runs": comparison.describe(runs),
        "conclusions": conclusions(found),
        "budgets": budget_table(found.budgets),
        "noise": noise_table(found.budgets),
        "criteria": criteria_table(found.criteria),
        "boards": boards_table(found.boards),
    }
