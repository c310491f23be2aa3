"""Markdown tables (GitHub's); best in bold, second underlined."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from ndcl_domainbed.results.formats.common import format_rows, notes, title_line
from ndcl_domainbed.results.tables import Table


def page(head: Sequence[str], tables: Sequence[Table], counts: bool) -> str:
    """Return all tables as one Markdown text."""
    parts = [*head, "Best in **bold**, second <u>underlined</u>."]
    for table in tables:
        parts += [f"### {_escape(title_line(table))}", *map(_escape, table.head)]
        parts.append(_table(table, counts))
        if notes(table):
            parts.append("\n".join(f"- {_escape(line)}" for line in notes(table)))
    return "\n\n".join(parts) + "\n"


def _table(table: Table, counts: bool) -> str:
    figures = format_rows(table, " ± ", counts, "**{}**", "<u>{}</u>")
    rows = [[_escape(name), *row] for (name, _), row in zip(table.rows, figures, strict=True)]
    headers = ["Algorithm", *map(_escape, table.columns)]
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def _escape(text: str) -> str:
    r"""Escape what Markdown would take for markup.

    >>> print(_escape("env_val|x"))
    env\_val\|x
    """
    for character in ("\\", "|", "_", "*", "<"):
        text = text.replace(character, f"\\{character}")
    return text
