"""The tables of the README and of docs/results.md: runs in, Markdown out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from studies import BOARD, DOCS, GROUPS, MEASURES, REFERENCE, domain_names, iterate_boards

from ndcl_domainbed.results import names, tables
from ndcl_domainbed.results.cells import build_cells
from ndcl_domainbed.results.formats import render
from ndcl_domainbed.results.labels import base_dataset
from ndcl_domainbed.results.statistics import compare, summarize
from ndcl_domainbed.results.statistics_tables import (
    describe_cells,
    statistics_rows,
    text_row,
    warn_of_few_cells,
)
from ndcl_domainbed.results.tables import AVERAGE, CellSource, Table

ABLATION = DOCS / "results" / "ablation.csv"
DIFFERENCE = ("_minus_ndcl", "_minus_ndcl_error")
"""Suffixes of its columns: a variant's difference to plain NDCL, and its standard error."""

BASELINE = "ERM"


def ablation_table() -> str:
    """Return the variants of NDCL, each with its difference to plain NDCL."""
    table = pd.read_csv(ABLATION).set_index("variant")
    shown = ["overall", *GROUPS]
    columns = [names.METRIC_TITLES[name] for name in shown]
    rows = []
    for variant, figures in table.iterrows():
        cells = [f"{figures[name]:.1f}" for name in shown]
        if variant != REFERENCE:
            gaps = [[figures[name + end] for end in DIFFERENCE] for name in shown]
            cells = [
                f"{cell} ({gap:+.1f} ± {error:.1f})"
                for cell, (gap, error) in zip(cells, gaps, strict=True)
            ]
        rows.append(text_row(str(variant), cells))
    return _strip_headings(render("markdown", [], [Table("statistics", {}, columns, rows)]))


class CommittedRuns(CellSource):
    """The runs of a file."""

    def reason(self, algorithm: str, env: int) -> str:
        """Return why no record was chosen."""
        return "not run yet"


def board_table(here: pd.DataFrame, dataset: str) -> str:
    """Return the leaderboard of one board: by target, and by shot group."""
    algorithms = names.ordered_algorithms(here["algorithm"].unique())
    domains = domain_names(dataset)
    by_domain = tables.domain_rows(here, algorithms, len(domains), "overall", CommittedRuns())
    by_group = tables.measure_rows(
        here, algorithms, range(len(domains)), MEASURES[1:], CommittedRuns()
    )
    columns = [*domains, AVERAGE, *(names.METRIC_TITLES[name] for name in MEASURES[1:])]
    joined = [
        (name, [*one, *other]) for (name, one), (_, other) in zip(by_domain, by_group, strict=True)
    ]
    return _strip_headings(render("markdown", [], [Table("domains", {}, columns, joined)]))


Columns = Mapping[str, Sequence[tuple[str, str]]]
"""Titles of columns -> the boards that each is a mean over."""


def check_whole(rows: pd.DataFrame) -> None:
    """Leave with an error if an algorithm lacks runs that another has: means would not compare."""
    sizes = rows.groupby([*BOARD, "trial_seed", "algorithm"]).size().unstack("algorithm")
    if (sizes.nunique(axis=1, dropna=False) > 1).any():
        raise SystemExit("some algorithms lack runs that others have: resume the sweep.")


def overview(rows: pd.DataFrame, columns: Columns, best: int | None = None) -> str:
    """Return overall and Few of every algorithm, means over the boards of each column.

    The best of the first column comes first; bold marks the best of a column. ``best`` shows the
    first rows, and the baseline, alone.
    """
    check_whole(rows)
    cells = rows.groupby(["algorithm", *BOARD, "test_env"])[["overall", "few"]].mean() * 100
    means = cells.groupby(["algorithm", *BOARD]).mean().unstack(BOARD)
    tables = [
        pd.DataFrame({title: table[list(of)].mean(axis=1) for title, of in columns.items()})
        for table in (means["overall"], means["few"])
    ]

    def describe(name: str, column: str) -> str:
        figures = [(table.at[name, column], table[column].max()) for table in tables]
        pairs = [(f"{figure:.1f}", f"{best:.1f}") for figure, best in figures]
        return " / ".join(f"**{figure}**" if figure == best else figure for figure, best in pairs)

    order = list(tables[0].sort_values(next(iter(columns)), ascending=False).index)
    if best is not None:
        order = [name for place, name in enumerate(order) if place < best or name == BASELINE]
    body = [[name, *(describe(name, column) for column in columns)] for name in order]
    return format_table(["overall / Few", *columns], body)


def format_table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, the first column to the left."""
    rule = [":--", *["--:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *body])


def average_trials(rows: pd.DataFrame) -> pd.DataFrame:
    """Return (algorithm, trial) x (overall, few) in percent: means over targets, then boards."""
    check_whole(rows)
    figures = rows.groupby(["algorithm", *BOARD, "trial_seed"])[["overall", "few"]].mean() * 100
    return figures.groupby(["algorithm", "trial_seed"]).mean()


def describe_gap(trials: pd.DataFrame, one: str, other: str) -> str:
    """Return what algorithm ``one`` has more than ``other``, overall / on Few, in points.

    Paired by trial: the mean and, if there are several trials, its standard error. ``trials`` is
    from :func:`average_trials`.
    """
    gap = trials.loc[one] - trials.loc[other]
    parts = [
        f"{mean:+.1f}" if len(gap) == 1 else f"{mean:+.1f} ± {error:.1f}"
        for mean, error in zip(gap.mean(), gap.sem(), strict=True)
    ]
    return " / ".join(parts)


def columns_of_dataset(rows: pd.DataFrame, dataset: str) -> Columns:
    """Return the mean of a dataset's settings, and each."""
    boards = [(label, setting) for label, setting, _ in iterate_boards(rows) if label == dataset]
    return {"mean": boards, **{setting: [(dataset, setting)] for _, setting in boards}}


def leaderboard(rows: pd.DataFrame, best: int | None = None) -> str:
    """Return the table of all photographs: their mean, PACS and its settings, and Office-31.

    ``best`` as for :func:`overview`.
    """
    boards = [(dataset, setting) for dataset, setting, _ in iterate_boards(rows)]
    pacs = [board for board in boards if base_dataset(board[0]) == "PACS"]
    others = [board for board in boards if board not in pacs]
    each = {f"PACS {setting}": [(dataset, setting)] for dataset, setting in pacs}
    return overview(rows, {"mean": boards, "PACS": pacs, **each, "Office-31": others}, best)


def winners(rows: pd.DataFrame) -> str:
    """Return the first rows of every board, with the error of their lead over the trials."""
    body = []
    for dataset, setting, here in iterate_boards(rows):
        line = [f"{base_dataset(dataset)} {setting}"]
        for measure in ("overall", "few"):
            trials = here.groupby(["algorithm", "trial_seed"])[measure].mean().unstack() * 100
            first, second = trials.mean(axis=1).sort_values(ascending=False).index[:2]
            lead = trials.loc[first] - trials.loc[second]
            line += [
                f"{first}, {trials.loc[first].mean():.1f}",
                f"{second}: {lead.mean():.1f} ± {lead.sem():.1f}",
            ]
        body.append(line)
    return format_table(["", "best overall", "ahead of", "best on Few", "ahead of"], body)


def _strip_headings(text: str) -> str:
    """Return rendered tables without what the page itself has: titles, and what bold means."""
    parts = [part for part in text.split("\n\n") if not part.startswith(("###", "Best in"))]
    return "\n\n".join(parts).strip()


def statistics_table(rows: pd.DataFrame, measure: str) -> str:
    """Return ranks of all, and NDCL against each, over the (setting, target) cells."""
    cells = build_cells(rows, measure)
    compared = compare(cells, REFERENCE)
    summaries = sorted(summarize(cells), key=lambda one: one.rank)
    columns, listed = statistics_rows(summaries, compared, REFERENCE)
    lines = [f"{describe_cells(cells)}.", *cells.dropped, *warn_of_few_cells(cells)]
    return _strip_headings(render("markdown", lines, [Table("statistics", {}, columns, listed)]))
