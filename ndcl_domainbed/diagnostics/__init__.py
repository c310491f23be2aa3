"""Why it works: each claim behind NDCL as a figure, a table and a caption, for the user's runs."""

from __future__ import annotations

import ast
from typing import Any, Protocol

from imbalance_splits.discovery import Source, cached, find_modules
from imbalance_splits.errors import InputError, unknown_name
from ndcl_domainbed.diagnostics import checks
from ndcl_domainbed.diagnostics.findings import Findings, Request

__all__ = ["Diagnostic", "Findings", "Request", "diagnostic_names", "get_diagnostic", "subject"]


class Diagnostic(Protocol):
    """What a module of :mod:`ndcl_domainbed.diagnostics.checks` offers, or one from elsewhere.

    Elsewhere: a module that the entry points 'ndcl_domainbed.diagnostics' of an installed package
    name, or a file named by :data:`~imbalance_splits.discovery.OWN_CODE` that has the function.
    """

    def diagnose(self, request: Request) -> Findings:
        """Return what was found. Raises InputError if the runs do not hold what it needs."""


@cached
def _sources() -> dict[str, Source]:
    """Return the modules of the diagnostics by the names that users give."""
    found = find_modules(checks.__name__, "diagnostics", "diagnose")
    return {name.replace("_", "-"): source for name, source in found.items()}


def diagnostic_names() -> list[str]:
    """Return the names of all diagnostics, sorted."""
    return sorted(_sources())


def subject(name: str) -> str:
    """Return the first line of a diagnostic's docstring, without importing it."""
    text = ast.get_docstring(_sources()[name].parse()) or ""
    return text.partition("\n")[0].rstrip(".")


def get_diagnostic(name: str) -> Diagnostic:
    """Return the diagnostic called ``name``. Raises InputError for an unknown name."""
    if name not in _sources():
        raise unknown_name("diagnostic", name, diagnostic_names())
    module: Any = _sources()[name].load()
    if not callable(getattr(module, "diagnose", None)):
        raise InputError(f"{_sources()[name].place}: a diagnostic needs a function diagnose().")
    return module
