"""What the formats share: figures as text, which are best, and the notes below a table."""

from __future__ import annotations

from collections.abc import Sequence

from ndcl_domainbed.results.tables import LOST, Cell, Table

MISSING = "X"
MAX_NAMES = 6


def format_figure(cell: Cell, between: str, counts: bool, most_trials: int = 0) -> str:
    """Return "97.6 +/- 0.3", "97.6" where there is no error, "X" for a missing figure.

    " (n=2)" follows a figure over fewer trials than ``most_trials``; with ``counts``, " (3/60)"
    follows any: trials, and the runs that the choice was made among.
    """
    if cell.text:
        return cell.text
    if cell.mean is None:
        return MISSING
    error = "" if cell.error is None else f"{between}{cell.error:.1f}"
    fewer = f" (n={cell.trials})" if 0 < cell.trials < most_trials else ""
    return f"{cell.mean:.1f}{error}{f' ({cell.trials}/{cell.runs})' if counts else fewer}"


def title_line(table: Table) -> str:
    """Return "Dataset: VLCS, model selection method: ..."."""
    return ", ".join(f"{key}: {name}" if name else key for key, name in table.title.items())


def best_and_second(table: Table) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """Return the places (row, column) of the best figures and of the second best.

    Figures that read the same share their place; 0.0 has none, nor what is lost to imbalance. A
    table of one row has no best, nor has one of statistics.
    """
    best: set[tuple[int, int]] = set()
    second: set[tuple[int, int]] = set()
    if len(table.rows) < 2 or table.kind == "statistics":
        return best, second
    for column, title in enumerate(table.columns):
        if title == LOST:
            continue
        means = {row: cells[column].mean for row, (_, cells) in enumerate(table.rows)}
        shown = {row: round(mean, 1) for row, mean in means.items() if mean is not None}
        for place, value in zip((best, second), sorted(set(shown.values()))[:-3:-1], strict=False):
            place.update((row, column) for row, mine in shown.items() if mine == value > 0)
    return best, second


def format_rows(
    table: Table, between: str, counts: bool, best: str = "{}", second: str = "{}"
) -> list[list[str]]:
    """Return the figures as strings, row by row; ``best`` and ``second`` format the best two."""
    firsts, seconds = best_and_second(table)
    most = table.most_trials()
    rows = []
    for row, (_, cells) in enumerate(table.rows):
        strings = [format_figure(cell, between, counts, trials)
                   for cell, trials in zip(cells, most, strict=True)]  # fmt: skip
        for places, mark in ((firsts, best), (seconds, second)):
            for column in (column for number, column in places if number == row):
                strings[column] = mark.format(strings[column])
        rows.append(strings)
    return rows


def notes(table: Table) -> list[str]:
    """Return what stands below a table: why each figure is missing, and further notes."""
    lines = []
    for reason, places in table.reasons().items():
        rows_of: dict[str, list[str]] = {}
        for row, column in places:
            rows_of.setdefault(column, []).append(row)
        columns_of: dict[tuple[str, ...], list[str]] = {}
        for column, rows in rows_of.items():
            columns_of.setdefault(tuple(rows), []).append(column)
        where = [
            f"under {', '.join(columns)}{_in_rows(rows, len(table.rows))}"
            for rows, columns in columns_of.items()
        ]
        lines.append(f"{MISSING} {'; '.join(where)}: {reason}")
    return lines + table.notes


def _in_rows(rows: Sequence[str], n_rows: int) -> str:
    """Return " for ERM, NDCL"; nothing if it is every row, and few names of many."""
    if len(rows) == n_rows > 1:
        return ""
    more = f" and {len(rows) - MAX_NAMES} more" if len(rows) > MAX_NAMES else ""
    return f" for {', '.join(rows[:MAX_NAMES])}{more}"
