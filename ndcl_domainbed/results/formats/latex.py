"""A LaTeX document with booktabs tables; best in bold, second underlined."""

from __future__ import annotations

from collections.abc import Sequence

from ndcl_domainbed.results.formats.common import best_and_second, figure, notes, title_line
from ndcl_domainbed.results.tables import Table

_SIGNS = {
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
}


def page(head: Sequence[str], tables: Sequence[Table], counts: bool) -> str:
    """Return a document that compiles with any LaTeX that has booktabs and adjustbox."""
    lines = [
        r"\documentclass{article}",
        r"\usepackage[utf8]{inputenc}",
        r"\usepackage[margin=2cm]{geometry}",
        r"\usepackage{booktabs}",
        r"\usepackage{adjustbox}",
        r"\begin{document}",
        r"\section*{Results}",
        *(rf"{escape(line)}\par" for line in head),
        r"Best in \textbf{bold}, second \underline{underlined}.\par",
    ]
    method = None
    for table in tables:
        if table.title.get("model selection method") != method:
            method = table.title.get("model selection method")
            lines += ["", rf"\subsection*{{Model selection: {escape(str(method))}}}"]
        lines += ["", *_table(table, counts)]
    return "\n".join([*lines, r"\end{document}"]) + "\n"


def escape(text: str) -> str:
    r"""Return ``text`` with LaTeX's own signs escaped.

    >>> print(escape("90% of a_b"))
    90\% of a\_b
    """
    return "".join(_SIGNS.get(sign, sign) for sign in text)


def _table(table: Table, counts: bool) -> list[str]:
    best, second = best_and_second(table)
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
    for row, (name, cells) in enumerate(table.rows):
        texts = [escape(name)]
        for column, cell in enumerate(cells):
            text = figure(cell, r" $\pm$ ", counts)
            if (row, column) in best:
                text = rf"\textbf{{{text}}}"
            elif (row, column) in second:
                text = rf"\underline{{{text}}}"
            texts.append(text)
        lines.append(" & ".join(texts) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}}", r"\end{center}"]
    return lines + [rf"{{\footnotesize {escape(line)}\par}}" for line in notes(table)]
