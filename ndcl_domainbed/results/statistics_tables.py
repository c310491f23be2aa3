"""Tables of the statistics over cells, and a sentence on each of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ndcl_domainbed.results import names
from ndcl_domainbed.results.cells import Cells, count_cells, image_groups, iterate_cells
from ndcl_domainbed.results.labels import SINGLE_SOURCE
from ndcl_domainbed.results.selection import CRITERIA
from ndcl_domainbed.results.statistics import (
    ALPHA,
    Comparison,
    Estimate,
    Summary,
    cells_needed,
    compare,
    performance_profile,
    summarize,
)
from ndcl_domainbed.results.tables import SELECTION, Cell, Row, Table

if TYPE_CHECKING:
    from ndcl_domainbed.results.leaderboards import Leaderboards

FEW_GROUPS = 10
MEANINGS = {
    "rank": "Average rank: 1 is the best of a cell; ties share their ranks.",
    "iqm": "IQM, interquartile mean: the mean of the middle half of an algorithm's figures, one "
    "per cell and trial, so that no very easy or very hard cell decides.",
    "better": "P(better): the probability that a run of the reference beats a run of the other in "
    "the same cell, a tie counting half.",
    "p": "p: Wilcoxon's signed-rank test over the cells, after Holm's correction for all pairs of "
    "algorithms.",
    "interval": "In brackets: 95 % bootstrap intervals; target domains are drawn within each "
    "dataset, and a target brings all its cells, since these share its images.",
    "profile": "Performance profile: the share of runs with a figure above the threshold, a mean "
    "over the cells.",
    "cliques": "A bar joins algorithms that do not differ significantly from each other: p of "
    "each pair on it (a dot each) is 0.05 or more.",
}
"""What each statistic means, shown wherever it is."""


def build_tables(
    built: Sequence[Leaderboards], metrics: Sequence[str], reference: str
) -> list[Table]:
    """Return a table of statistics and a performance profile per criterion, measure, network."""
    tables = []
    for criterion, metric, cells in iterate_cells(built, metrics):
        network = {"network": cells.network} if cells.network else {}
        measure = {} if metric == "overall" else {"measure": names.METRIC_TITLES[metric]}
        about = {**network, SELECTION: CRITERIA[criterion].title, **measure}
        compared = compare(cells, reference)
        columns, rows = statistics_rows(summarize(cells), compared, reference)
        meanings = ("rank", "iqm", "interval", *(("better", "p") if compared else ()))
        head = [describe_cells(cells), *(MEANINGS[key] for key in meanings)]
        alone = [] if compared else [f"no run of {reference} to compare with"]
        notes = [*cells.dropped, *alone, *warn_of_few_cells(cells)]
        tables.append(Table("statistics", {"Statistics": "", **about}, columns, rows, head, notes))
        profile = performance_profile(cells.runs, range(10, 100, 10))
        columns = [f"> {limit} %" for limit in profile.index]
        rows = [text_row(name, [f"{100 * share:.0f} %" for share in profile[name]])
                for name in cells.runs.columns]  # fmt: skip
        title = {"Performance profile": "", **about}
        tables.append(Table("statistics", title, columns, rows, [MEANINGS["profile"]]))
    return tables


def statistics_rows(
    summaries: Sequence[Summary], compared: Sequence[Comparison], reference: str
) -> tuple[list[str], list[Row]]:
    """Return columns, and a row per algorithm; those of the comparison if there is one."""
    against = {one.algorithm: one for one in compared}
    columns = ["Average rank", "Mean", "IQM"]
    if compared:
        columns += [f"{reference} minus row", f"P({reference} better)", "won/lost", "p (Holm)"]
    rows = []
    for summary in summaries:
        cells = [f"{summary.rank:.2f}", _format(summary.mean, ".1f"), _format(summary.iqm, ".1f")]
        one = against.get(summary.algorithm)
        if one:
            cells += [_format(one.difference, "+.1f"), _format(one.better, ".2f")]
            cells += [f"{one.wins}/{one.losses}", f"{one.p:.2g}"]
        rows.append(text_row(summary.algorithm, cells + ["-"] * (len(columns) - len(cells))))
    return columns, rows


def text_row(name: str, cells: Sequence[str]) -> Row:
    """Return a row whose cells are shown as they stand."""
    return name, [Cell(mean=math.nan, text=text) for text in cells]


def _format(found: Estimate, form: str) -> str:
    if math.isnan(found.low):
        return f"{found.value:{form}}"
    return f"{found.value:{form}} [{found.low:{form}}, {found.high:{form}}]"


def describe_cells(cells: Cells) -> str:
    """Return what the cells are, how many there are, and of how many targets."""
    _, groups = image_groups(cells.figures.index)
    domain = "source domain" if _is_single_source(cells) else "target domain"
    return (
        f"Over {count_cells(len(groups))} (dataset, setting, {domain}) of {len(set(groups))} "
        f"{domain}s"
    )


def _is_single_source(cells: Cells) -> bool:
    return cells.network.endswith(SINGLE_SOURCE)


def warn_of_few_cells(cells: Cells) -> list[str]:
    """Return lines that warn of too few cells for a claim."""
    _, groups = image_groups(cells.figures.index)
    needed = cells_needed(cells.runs.shape[1])
    lines = []
    if len(groups) < needed:
        lines.append(
            f"too few cells for a claim: over {count_cells(len(groups))} the corrected p cannot "
            f"fall below {ALPHA:g}; at least {needed} are needed"
        )
    if _is_single_source(cells):
        lines.append(
            "sources are drawn in place of targets, and share the images that they are tested on: "
            "p is too small, and intervals are too narrow"
        )
    elif len(set(groups)) < len(groups):
        lines.append(
            "the test assumes independent cells, and cells that share a target's images are not: "
            "its p is too small; the intervals account for this"
        )
    if len(set(groups)) < FEW_GROUPS:
        lines.append(f"intervals from fewer than {FEW_GROUPS} target domains are too narrow")
    return lines
