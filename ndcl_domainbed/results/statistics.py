"""Are the differences more than chance? Ranks, tests and intervals over cells.

A cell is one (dataset, setting, target domain); its figure is the mean over trials. Following
Demsar, "Statistical comparisons of classifiers over multiple datasets", JMLR 7 (2006): the
Friedman test over average ranks with Nemenyi's critical difference, and Wilcoxon's signed-rank
test of the reference against each other algorithm, corrected by Holm's step-down procedure.
Cells that share a dataset are not independent, so the tests claim more than they should where one
dataset makes most of the cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from imbalance_splits.shots import SCORE_DECIMALS
from ndcl_domainbed.results import names
from ndcl_domainbed.results.labels import network_in
from ndcl_domainbed.results.selection import CRITERIA
from ndcl_domainbed.results.tables import SELECTION, Cell, Table

if TYPE_CHECKING:
    from ndcl_domainbed.results.leaderboards import Leaderboards

ALPHA = 0.05
RESAMPLES = 10_000
FEW_CELLS = 10
"""Up to here the chi-squared form of Friedman's test is not trusted (Demsar, section 3.2.2)."""


@dataclass(frozen=True)
class Cells:
    """Figures in percent, cells x algorithms, complete; ``dropped``: which are left out,
    and why. ``network``: what all their datasets have in brackets; empty for the usual one.
    """

    figures: pd.DataFrame
    dropped: list[str] = field(default_factory=list)
    network: str = ""


@dataclass(frozen=True)
class Ranks:
    """Average ranks (1 is best), Friedman's test, and Nemenyi's critical difference at 5 %."""

    ranks: pd.Series
    n_cells: int
    chi2: float
    p: float
    critical_difference: float


@dataclass(frozen=True)
class Comparison:
    """The reference against one algorithm: mean difference with its 95 % bootstrap interval over
    cells, cells won and lost, Wilcoxon's p and the same after Holm's correction."""

    algorithm: str
    difference: float
    low: float
    high: float
    wins: int
    losses: int
    p: float
    p_holm: float


def build_cells(selected: pd.DataFrame, metric: str = "overall") -> Cells:
    """Return the figures of all cells that every algorithm has.

    An algorithm with no more than half of the cells is dropped first, so that the others keep
    theirs.
    """
    keys = ["dataset", "setting", "test_env"]
    groups = selected.groupby([*keys, "algorithm"], observed=True)[metric]
    wide = (groups.mean() * 100).unstack("algorithm").dropna(how="all")
    wide.columns = pd.Index([str(name) for name in wide.columns])
    wide = wide[names.ordered_algorithms(wide.columns)]
    dropped = []
    for name in list(wide.columns):
        there = int(wide[name].notna().sum())
        if 2 * there <= len(wide):
            dropped.append(f"{name} left out: it has {there} of {len(wide)} cells")
            wide = wide.drop(columns=name)
    complete = wide.dropna()
    if len(complete) < len(wide):
        count = len(wide) - len(complete)
        dropped.append(f"{_count_cells(count)} left out: not every algorithm has them")
    trials = groups.count().unstack("algorithm").loc[complete.index, complete.columns]
    unequal = int((trials.nunique(axis=1) > 1).sum())
    if unequal:
        dropped.append(f"in {_count_cells(unequal)} some algorithms have more trials than others")
    return Cells(complete, dropped)


def rank(figures: pd.DataFrame) -> Ranks:
    """Return average ranks over the rows of ``figures`` and the tests of all against all.

    Ties share their ranks; figures that differ by rounding alone are ties. For fewer than 2
    algorithms or no cell the tests are NaN; Friedman's for fewer than 3 algorithms.
    """
    from scipy import stats

    figures = figures.round(SCORE_DECIMALS)
    ranks = figures.rank(axis=1, ascending=False, method="average").mean()
    n_cells, count = figures.shape
    chi2 = p = difference = math.nan
    if count >= 2 and n_cells:
        quantile = stats.studentized_range.ppf(1 - ALPHA, count, np.inf) / math.sqrt(2)
        difference = float(quantile) * math.sqrt(count * (count + 1) / (6 * n_cells))
    if count >= 3 and n_cells >= 2 and not _all_tied(figures):
        chi2, p = map(float, stats.friedmanchisquare(*figures.to_numpy().T))
    return Ranks(ranks, n_cells, chi2, p, difference)


def _all_tied(figures: pd.DataFrame) -> bool:
    return bool((figures.nunique(axis=1) == 1).all())


def compare(figures: pd.DataFrame, reference: str, seed: int = 0) -> list[Comparison]:
    """Compare ``reference`` with every other algorithm over the cells. Empty without cells."""
    others = [name for name in figures.columns if name != reference]
    if reference not in figures or figures.empty:
        return []
    differences = [
        (figures[reference] - figures[name]).round(SCORE_DECIMALS).to_numpy() for name in others
    ]
    p = [_wilcoxon(values) for values in differences]
    return [
        Comparison(
            name,
            float(values.mean()),
            *bootstrap_interval(values, seed),
            int((values > 0).sum()),
            int((values < 0).sum()),
            one,
            corrected,
        )
        for name, values, one, corrected in zip(others, differences, p, holm(p), strict=True)
    ]


def _wilcoxon(differences: np.ndarray) -> float:
    from scipy import stats

    if not np.any(differences):
        return 1.0
    return float(stats.wilcoxon(differences).pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """Return Holm's step-down corrected p-values (Holm, 1979), in the order of ``p``.

    >>> [round(value, 3) for value in holm([0.04, 0.01, 0.03])]
    [0.06, 0.03, 0.06]
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    scaled = values[order] * np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return [float(value) for value in corrected]


def bootstrap_interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the mean; NaN for fewer than 2 values."""
    if len(values) < 2:
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [ALPHA / 2, 1 - ALPHA / 2])
    return float(low), float(high)


def cells_needed(n_others: int) -> int:
    """Return the least number of cells with which the paired test can reach 5 %.

    The least p of Wilcoxon's two-sided test over n cells is 2 / 2**n, and Holm's correction
    multiplies the least of m by m.

    >>> cells_needed(1), cells_needed(21)
    (6, 10)
    """
    return math.ceil(math.log2(2 * max(1, n_others) / ALPHA))


def warn_of_few_cells(n_cells: int, n_algorithms: int) -> list[str]:
    """Return lines that warn of too few cells for a claim."""
    lines = []
    needed = cells_needed(n_algorithms - 1)
    if n_cells < needed:
        lines.append(
            f"too few cells for a claim: over {_count_cells(n_cells)} the corrected p cannot fall "
            f"below {ALPHA:g}; it takes {needed} or more"
        )
    if n_cells <= FEW_CELLS:
        lines.append(
            f"Friedman's test and the critical difference are rough for {FEW_CELLS} cells or fewer"
        )
    return lines


def build_tables(
    built: Sequence[Leaderboards], metrics: Sequence[str], reference: str
) -> list[Table]:
    """Return a table of ranks and comparisons per criterion, measure and network."""
    return [
        _build_table(criterion, metric, cells, reference)
        for criterion, metric, cells in iterate_cells(built, metrics)
    ]


def iterate_cells(
    built: Sequence[Leaderboards], metrics: Sequence[str]
) -> Iterator[tuple[str, str, Cells]]:
    """Yield criterion, measure and the cells of one network, if several algorithms have some."""
    for one in built:
        networks = one.selected["dataset"].astype(str).map(network_in)
        for metric in metrics:
            for network in sorted(networks.unique()):
                selected = one.selected[networks == network]
                if selected[metric].notna().any():
                    cells = replace(build_cells(selected, metric), network=network)
                    if len(cells.figures) and cells.figures.shape[1] > 1:
                        yield one.criterion, metric, cells


def _build_table(criterion: str, metric: str, cells: Cells, reference: str) -> Table:
    figures = cells.figures
    ranks = rank(figures)
    compared = {one.algorithm: one for one in compare(figures, reference)}
    rows = [
        (
            name,
            _build_row(float(ranks.ranks[name]), float(figures[name].mean()), compared.get(name)),
        )
        for name in figures.columns
    ]
    network = {"network": cells.network} if cells.network else {}
    title = {"Statistics": "", **network, SELECTION: CRITERIA[criterion].title}
    if metric != "overall":
        title["measure"] = names.METRIC_TITLES[metric]
    versus = [f"{reference} minus it", "95% interval", "won/lost", "p (Wilcoxon)", "p (Holm)"]
    notes = [*cells.dropped, *warn_of_few_cells(ranks.n_cells, figures.shape[1])]
    if not compared:
        rows = [(name, row[:2]) for name, row in rows]
        notes.insert(len(cells.dropped), f"no run of {reference} to compare with")
    return Table(
        "statistics",
        title,
        ["Average rank", "Mean", *(versus if compared else [])],
        rows,
        head=_describe_tests(ranks),
        notes=notes,
    )


def _count_cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def _describe_tests(ranks: Ranks) -> list[str]:
    lines = [
        f"Over {_count_cells(ranks.n_cells)}: (dataset, setting, test domain), means over trials"
    ]
    if not math.isnan(ranks.p):
        lines.append(f"Friedman: chi-squared {ranks.chi2:.2f}, p {ranks.p:.2g}")
    return [
        *lines,
        f"Nemenyi: ranks that differ by less than {ranks.critical_difference:.2f} "
        "do not differ significantly (5 %)",
    ]


def _build_row(rank_: float, mean: float, one: Comparison | None) -> list[Cell]:
    columns = [f"{rank_:.2f}", f"{mean:.1f}"]
    if one is None:
        columns += ["-"] * 5
    else:
        interval = "-" if math.isnan(one.low) else f"[{one.low:+.1f}, {one.high:+.1f}]"
        columns += [f"{one.difference:+.1f}", interval]
        columns += [f"{one.wins}/{one.losses}", f"{one.p:.2g}", f"{one.p_holm:.2g}"]
    return [Cell(mean=math.nan, text=text) for text in columns]
