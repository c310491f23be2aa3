"""The errors that end a command without a traceback."""

from __future__ import annotations

from imbalance_splits.errors import InputError, unknown_name

__all__ = ["InputError", "RunFailure", "unknown_name"]


class RunFailure(Exception):
    """A run that started well cannot continue; the message says why and at which step."""
