"""The page that collects the findings in a folder."""

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
from ndcl_domainbed.diagnostics.findings import CAPTION, PICTURE, TABLE

PAGE_FILE = "index.html"
_MAX_ROWS = 400
"""Rows of a table on the page; the CSV file has all."""


def write_page(folder: Path) -> Path:
    """Write one page, pictures included, of all findings in ``folder``; return its path.

    Raises InputError if jinja2 is missing, a file there is damaged or the page cannot be written.
    """
    try:
        from jinja2 import Environment
    except ImportError as error:
        raise InputError("the page needs jinja2: pip install 'ndcl-domainbed[diagnose]'") from error
    source = resources.files("ndcl_domainbed.diagnostics") / "templates" / "page.html"
    template = Environment(autoescape=True).from_string(source.read_text(encoding="utf-8"))
    names = [n for n in diagnostics.diagnostic_names() if (folder / f"{n}{CAPTION}").exists()]
    path = folder / PAGE_FILE
    write_whole(path, template.render(sections=[_read_section(folder, name) for name in names]))
    return path


def _read_section(folder: Path, name: str) -> dict[str, Any]:
    try:
        about = json.loads((folder / f"{name}{CAPTION}").read_text(encoding="utf-8"))
        picture = base64.b64encode((folder / f"{name}{PICTURE}").read_bytes()).decode()
        table = pd.read_csv(folder / f"{name}{TABLE}")
        caption, made = about["caption"], about["made"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / name}.*: damaged ({error}); make it again.") from error
    return {
        "name": name,
        "caption": caption,
        "made": made,
        "picture": picture,
        "columns": list(table.columns),
        "rows": [[_format(v) for v in row] for row in table.head(_MAX_ROWS).to_numpy(object)],
        "more": max(0, len(table) - _MAX_ROWS),
        "file": f"{name}{TABLE}",
    }


def _format(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"
    return str(value)
