"""Plain HTML tables on one page; best in bold, second underlined."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ndcl_domainbed.results.formats.common import format_rows, notes, title_line
from ndcl_domainbed.results.tables import Table

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:75em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;margin:.5em 0}th,td{padding:.2em .8em;text-align:right}"
    "th:first-child,td:first-child{text-align:left}thead{border-bottom:1px solid}"
    "caption{text-align:left;font-weight:bold}p{margin:.2em 0}"
)


def page(head: Sequence[str], tables: Sequence[Table], counts: bool) -> str:
    """Return a page that needs nothing else."""
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Results</title><style>{_STYLE}</style></head><body>",
        *(f"<p>{escape(line)}</p>" for line in head),
        "<p>Best in <b>bold</b>, second <u>underlined</u>.</p>",
    ]
    for table in tables:
        parts += _table(table, counts)
    return "\n".join([*parts, "</body></html>"]) + "\n"


def _table(table: Table, counts: bool) -> list[str]:
    header = "".join(f"<th>{escape(name)}</th>" for name in ("Algorithm", *table.columns))
    lines = [f"<table><caption>{escape(title_line(table))}</caption>"]
    lines.append(f"<thead><tr>{header}</tr></thead><tbody>")
    figures = format_rows(table, " ± ", counts, "<b>{}</b>", "<u>{}</u>")
    for (name, _), row in zip(table.rows, figures, strict=True):
        cells = "".join(f"<td>{text}</td>" for text in (escape(name), *row))
        lines.append(f"<tr>{cells}</tr>")
    lines.append("</tbody></table>")
    return lines + [f"<p>{escape(line)}</p>" for line in (*table.head, *notes(table))]
