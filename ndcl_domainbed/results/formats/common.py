"""What the formats share: figures as text, which are best, and the notes below a table."""

from __future__ import annotations

from collections.abc import Sequence

from ndcl_domainbed.results.tables import Cell, Table

MISSING = "X"
MAX_NAMES = 6


def figure(cell: Cell, between: str, counts: bool) -> str:
    """Return "97.6 +/- 0.3", "97.6" for an average over columns, "X" for a missing figure.

    With ``counts``, " (3/60)" follows: trials, and the runs that the choice was made among.
    """
    if cell.text:
        return cell.text
    if cell.mean is None:
        return MISSING
    error = "" if cell.error is None else f"{between}{cell.error:.1f}"
    counted = f" ({cell.trials}/{cell.runs})" if counts and cell.error is not None else ""
    return f"{cell.mean:.1f}{error}{counted}"


def title_line(table: Table) -> str:
    """Return "Dataset: VLCS, model selection method: ..."."""
    return ", ".join(f"{key}: {name}" if name else key for key, name in table.title.items())


def best_and_second(table: Table) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """Return the places (row, column) of the best figures and of the second best.

    Figures that read the same share their place. A table of one row has no best, nor has one
    of statistics.
    """
    best: set[tuple[int, int]] = set()
    second: set[tuple[int, int]] = set()
    if len(table.rows) < 2 or table.kind == "statistics":
        return best, second
    for column in range(len(table.columns)):
        shown = {
            row: round(cells[column].mean, 1)  # type: ignore[arg-type]
            for row, (_, cells) in enumerate(table.rows)
            if cells[column].mean is not None
        }
        for place, value in zip((best, second), sorted(set(shown.values()))[:-3:-1], strict=False):
            place.update((row, column) for row, mine in shown.items() if mine == value)
    return best, second


def format_rows(
    table: Table, between: str, counts: bool, best: str = "{}", second: str = "{}"
) -> list[list[str]]:
    """Return the figures as strings, row by row; ``best`` and ``second`` format the best two."""
    firsts, seconds = best_and_second(table)
    rows = []
    for row, (_, cells) in enumerate(table.rows):
        strings = [figure(cell, between, counts) for cell in cells]
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
        lines.append(f"{MISSING} {'; '.join(where)}: {reason}{_details(table, reason)}")
    return lines + table.notes


def _details(table: Table, reason: str) -> str:
    """Return " (ERM on A, C: 1 run unfinished; NDCL on P: ...)"; nothing if no more is known.

    Where there is one column, or one row, its name is not repeated.
    """
    places = [
        (row, column, cell.missing)
        for row, cells in table.rows
        for column, cell in zip(table.columns, cells, strict=True)
        if cell.mean is None and cell.reason == reason
    ]
    rows = {row for row, _, _ in places}
    found: dict[tuple[str, str], dict[str, None]] = {}
    for row, column, missing in places:
        for domains, why in missing:
            where = f"{column} {domains}" if table.kind == "averages" else domains
            found.setdefault((where, why), {})[row] = None
    parts = [
        f"{where}: {why}" if len(of) == len(rows) else f"{_list_rows(list(of))} on {where}: {why}"
        for (where, why), of in found.items()
    ]
    return f" ({'; '.join(parts)})" if parts else ""


def _in_rows(rows: tuple[str, ...], n_rows: int) -> str:
    """Return " for ERM, NDCL"; nothing if it is every row, and few names of many."""
    if len(rows) == n_rows > 1:
        return ""
    return f" for {_list_rows(rows)}"


def _list_rows(rows: Sequence[str]) -> str:
    more = f" and {len(rows) - MAX_NAMES} more" if len(rows) > MAX_NAMES else ""
    return f"{', '.join(rows[:MAX_NAMES])}{more}"
