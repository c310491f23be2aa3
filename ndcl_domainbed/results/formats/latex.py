"""A LaTeX document with booktabs tables; best in bold, second underlined."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ndcl_domainbed.results.formats.common import format_rows, notes, title_line
from ndcl_domainbed.results.tables import SELECTION, Table

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "|": r"\textbar{}",
    "[": "{[}",  # at the start of a row, \\ would take what is in brackets for its argument
    "*": "{*}",
}
_JOINED = re.compile(r"(?<=(.))(?=\1)(?<=[-`'])")
"""Between two characters that would become one: a dash, a quotation mark."""


def page(head: Sequence[str], tables: Sequence[Table], counts: bool) -> str:
    """Return a document that compiles with any LaTeX that has booktabs and adjustbox."""
    lines = [
        r"\documentclass{article}",
        r"\usepackage[utf8]{inputenc}",
        r"\usepackage[T1]{fontenc}",
        r"\usepackage[margin=2cm]{geometry}",
        r"\usepackage{booktabs}",
        r"\usepackage{adjustbox}",
        r"\begin{document}",
        *_body(head, tables, counts),
        r"\end{document}",
    ]
    return "\n".join(lines) + "\n"


def _body(head: Sequence[str], tables: Sequence[Table], counts: bool) -> list[str]:
    lines = [
        r"\section*{Results}",
        *(rf"{escape(line)}\par" for line in head),
        r"Best in \textbf{bold}, second \underline{underlined}.\par",
    ]
    method = None
    for table in tables:
        if table.title.get(SELECTION, method) != method:
            method = table.title[SELECTION]
            lines += ["", rf"\subsection*{{Model selection: {escape(str(method))}}}"]
        lines += ["", *_table(table, counts)]
    return lines


def escape(text: str) -> str:
    r"""Return ``text`` with LaTeX's special characters escaped.

    >>> print(escape("90% of a_b"))
    90\% of a\_b
    """
    return _JOINED.sub("{}", "".join(_ESCAPES.get(character, character) for character in text))


def _table(table: Table, counts: bool) -> list[str]:
    header = ["Algorithm", *table.columns]
    lines = [
        rf"\subsubsection*{{{escape(title_line(table))}}}",
        *(rf"{escape(line)}\par" for line in table.head),
        r"\begin{center}",
        r"\adjustbox{max width=\textwidth}{%",
        rf"\begin{{tabular}}{{l{'c' * len(table.columns)}}}",
        r"\toprule",
        " & ".join(rf"\textbf{{{escape(name)}}}" for name in header) + r" \\",
        r"\midrule",
    ]
    figures = format_rows(table, r" $\pm$ ", counts, r"\textbf{{{}}}", r"\underline{{{}}}")
    if table.kind == "statistics":  # its cells are strings
        figures = [[escape(text) for text in row] for row in figures]
    for (name, _), row in zip(table.rows, figures, strict=True):
        lines.append(" & ".join([escape(name), *row]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}}", r"\end{center}"]
    return lines + [rf"{{\footnotesize {escape(line)}\par}}" for line in notes(table)]
