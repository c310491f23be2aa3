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
from ndcl_domainbed.diagnostics.findings import CAPTION, FIGURE, TABLE

PAGE_FILE = "index.html"
_MAX_ROWS = 400
"""Rows of a table on the page; the CSV file has all."""


def write_page(folder: Path) -> Path:
    """Write one page, figures included, of all findings in ``folder``; return its path.

    Raises InputError if a file there is damaged or the page cannot be written.
    """
    from jinja2 import Environment

    source = resources.files("ndcl_domainbed.diagnostics") / "templates" / "page.html"
    template = Environment(autoescape=True).from_string(source.read_text(encoding="utf-8"))
    names = [n for n in diagnostics.diagnostic_names() if (folder / f"{n}{CAPTION}").exists()]
    path = folder / PAGE_FILE
    write_whole(path, template.render(sections=[_read_section(folder, name) for name in names]))
    return path


def _read_section(folder: Path, name: str) -> dict[str, Any]:
    try:
        about = json.loads((folder / f"{name}{CAPTION}").read_text(encoding="utf-8"))
        table = pd.read_csv(folder / f"{name}{TABLE}")
        return {
            "name": name,
            "caption": about["caption"],
            "made": about["made"],
            "figure": base64.b64encode((folder / f"{name}{FIGURE}").read_bytes()).decode(),
            "table": table.head(_MAX_ROWS).to_html(
                index=False, border=0, na_rep="", float_format="{:.4g}".format
            ),
            "more": max(0, len(table) - _MAX_ROWS),
            "file": f"{name}{TABLE}",
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder / name}.*: damaged ({error}); run diagnose {name} again."
        ) from error
