"""What is said of a run that a diagnostic cannot look at."""

from __future__ import annotations

from pathlib import Path

from imbalance_splits.errors import InputError


def no_shot_groups(folder: Path) -> InputError:
    """Return the error for a run whose classes have no shot groups."""
    return InputError(f"{folder} was trained without --imbalance: its classes have no shot groups.")
