"""The page that gathers the diagnostics of a folder."""

from __future__ import annotations

import base64
import json
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from imbalance_splits.errors import InputError
from imbalance_splits.whole_files import write_whole
from ndcl_domainbed import diagnostics
from ndcl_domainbed.diagnostics.findings import PICTURE, TABLE, WORDS

PAGE_FILE = "index.html"
_ROWS = 400
"""Rows of a table that the page shows; the CSV file beside it has all."""


def write_page(folder: Path) -> Path:
    """Write one page, with its pictures in it, of all diagnostics in ``folder``; return its path.

    Raises InputError if jinja2 is missing, a file there is damaged or the page cannot be written.
    """
    try:
        from jinja2 import Environment
    except ImportError as error:
        raise InputError("the page needs jinja2: pip install 'ndcl-domainbed[diagnose]'") from error
    source = resources.files("ndcl_domainbed.diagnostics") / "templates" / "page.html"
    template = Environment(autoescape=True).from_string(source.read_text(encoding="utf-8"))
    there = [
        name for name in diagnostics.diagnostic_names() if (folder / f"{name}{WORDS}").exists()
    ]
    path = folder / PAGE_FILE
    write_whole(path, template.render(sections=[_section(folder, name) for name in there]))
    return path


def _section(folder: Path, name: str) -> dict[str, Any]:
    """Return what the page says of one diagnostic."""
    try:
        words = json.loads((folder / f"{name}{WORDS}").read_text(encoding="utf-8"))
        picture = base64.b64encode((folder / f"{name}{PICTURE}").read_bytes()).decode()
        table = pd.read_csv(folder / f"{name}{TABLE}")
        facts = {key: words[key] for key in ("claim", "found", "caveats", "made")}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder / name}.*: damaged ({error}); make it again.") from error
    return {
        **facts,
        "name": name,
        "picture": picture,
        "columns": list(table.columns),
        "rows": [[_text(value) for value in row] for row in table.head(_ROWS).to_numpy(object)],
        "more": max(0, len(table) - _ROWS),
        "file": f"{name}{TABLE}",
    }


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"
    return str(value)
