"""How tables look: a module per format, each with ``page(head, tables, counts) -> str``."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from imbalance_splits.errors import unknown_name
from ndcl_domainbed.results.tables import Table

MODULES = {"text": "text", "markdown": "markdown", "latex": "latex", "csv": "csv_", "html": "html_"}
SUFFIXES = {".txt": "text", ".md": "markdown", ".tex": "latex", ".csv": "csv", ".html": "html"}


def render(name: str, head: Sequence[str], tables: Sequence[Table], *, counts: bool = False) -> str:
    """Return ``tables`` below the lines ``head`` as one text in the format ``name``.

    ``counts``: show the trials and runs behind each cell. Raises InputError for an unknown format.
    """
    if name not in MODULES:
        raise unknown_name("format", name, MODULES)
    module = importlib.import_module(f"{__name__}.{MODULES[name]}")
    return str(module.page(head, tables, counts))


def choose_format(name: str | None, output: str | None) -> str:
    """Return the format called ``name``, else that of ``output``'s suffix. Raises InputError.

    >>> choose_format(None, "table.md"), choose_format("csv", "table.md")
    ('markdown', 'csv')
    """
    if name is None:
        return SUFFIXES.get(Path(output).suffix, "text") if output else "text"
    if name not in MODULES:
        raise unknown_name("format", name, MODULES)
    return name
