"""Why it works: each claim behind NDCL as a picture, a table and a caption, on the user's runs."""

from __future__ import annotations

import ast
import functools
import importlib
import pkgutil
from importlib import resources
from typing import Protocol, cast

from imbalance_splits.errors import unknown_name
from ndcl_domainbed.diagnostics import checks
from ndcl_domainbed.diagnostics.findings import Findings
from ndcl_domainbed.diagnostics.request import Request

__all__ = ["Diagnostic", "Findings", "Request", "diagnostic_names", "get_diagnostic", "subject"]


class Diagnostic(Protocol):
    """What a module of :mod:`ndcl_domainbed.diagnostics.checks` offers."""

    def diagnose(self, request: Request) -> Findings:
        """Return what was found; InputError if the runs do not hold what it needs."""


@functools.cache
def _modules() -> dict[str, str]:
    """Return the modules of the diagnostics by the names that users give."""
    return {
        info.name.replace("_", "-"): info.name for info in pkgutil.iter_modules(checks.__path__)
    }


def diagnostic_names() -> list[str]:
    """Return the names of all diagnostics, sorted."""
    return sorted(_modules())


def subject(name: str) -> str:
    """Return the first line of a diagnostic's docstring, without importing it."""
    source = resources.files(checks) / f"{_modules()[name]}.py"
    text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].rstrip(".")


def get_diagnostic(name: str) -> Diagnostic:
    """Return the diagnostic called ``name``; InputError if there is none."""
    if name not in _modules():
        raise unknown_name("diagnostic", name, diagnostic_names())
    return cast(Diagnostic, importlib.import_module(f"{checks.__name__}.{_modules()[name]}"))
