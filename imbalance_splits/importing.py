"""Importing files that a user may have added, so that a broken one is named."""

from __future__ import annotations

import importlib
import traceback
from types import ModuleType

from imbalance_splits.errors import InputError


def imported(name: str, content: str) -> ModuleType:
    """Import the module ``name``, of which ``content`` says what it holds, in the plural.

    Raises InputError with the cause, the file and the line if that fails.
    """
    try:
        return importlib.import_module(name)
    except InputError:
        raise
    except Exception as error:  # whatever a user's own file raises
        where = traceback.extract_tb(error.__traceback__)[-1]
        if isinstance(error, SyntaxError) and error.filename:
            where = traceback.FrameSummary(error.filename, error.lineno, "")
        raise InputError(
            f"the {content} of {name} cannot be imported: {type(error).__name__}: {error} "
            f"({where.filename}, line {where.lineno})"
        ) from error
