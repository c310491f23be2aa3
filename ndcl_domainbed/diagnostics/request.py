"""What the user asks a diagnostic to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from imbalance_splits.errors import InputError


@dataclass(frozen=True)
class Request:
    """The runs to look at, and how.

    ``run`` is the folder of the run (of a sweep, for a diagnostic that compares many); those in
    ``compare`` are shown beside it. ``data_dir`` replaces the folder that the runs read their
    images from. ``seed`` seeds everything that is drawn. ``images`` is how many images of a split
    a costly diagnostic looks at, at most; ``device`` None means the best there is.

    Raises InputError for a seed that NumPy does not take.
    """

    run: Path
    compare: tuple[Path, ...] = ()
    data_dir: str | None = None
    device: str | None = None
    seed: int = 0
    images: int = 500

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise InputError(f"--seed must be from 0 to {2**32 - 1}; it was given {self.seed}")

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folder of the run, and after it those to compare it with."""
        return (self.run, *self.compare)
