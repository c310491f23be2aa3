"""DomainBed's own text form."""

from __future__ import annotations

from collections.abc import Sequence

from ndcl_domainbed.results.formats.common import format_rows, notes, title_line
from ndcl_domainbed.results.tables import Table

WIDTHS = {"domains": 20, "measures": 20, "averages": 25, "statistics": 14}


def page(head: Sequence[str], tables: Sequence[Table], counts: bool) -> str:
    """Return all tables as one text."""
    lines = list(head)
    for table in tables:
        lines += ["", *_table(table, counts)]
    return "\n".join(lines) + "\n"


def _table(table: Table, counts: bool) -> list[str]:
    rows = [["Algorithm", *table.columns]]
    figures = format_rows(table, " +/- ", counts)
    rows += [[name, *row] for (name, _), row in zip(table.rows, figures, strict=True)]
    width = max(WIDTHS[table.kind], *(len(cell) for row in rows for cell in row))
    lines = [f"-------- {title_line(table)}", *(f"({line})" for line in table.head)]
    lines += ["  ".join(cell.ljust(width) for cell in row).rstrip() for row in rows]
    return lines + [f"  {line}" for line in notes(table)]
