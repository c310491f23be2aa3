"""Logs of the numbers in records for other programs to show; ``results.jsonl`` stays the record."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from imbalance_splits.errors import InputError
from ndcl_domainbed.training.output import report_write_errors

SCALARS_FOLDER = "tensorboard"


class Log(Protocol):
    """Takes records one after the other."""

    def add(self, record: dict[str, Any]) -> None:
        """Log the numbers of ``record``."""


class NoLog:
    """Logs nothing."""

    def add(self, record: dict[str, Any]) -> None:
        """Do nothing."""


class TensorBoardLog:
    """Writes TensorBoard's event files: ``accuracy/env0_in``, ``training/loss`` and so on.

    What an earlier attempt logged from ``first_step`` on does not count any longer.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise InputError(
                "--log tensorboard needs TensorBoard: pip install 'ndcl-domainbed[tensorboard]'"
            ) from None
        self.folder = folder
        with report_write_errors(folder, "before the first step"):
            self._writer: Any = SummaryWriter(folder, purge_step=first_step)

    def add(self, record: dict[str, Any]) -> None:
        """Write the numbers of ``record``, all of them before this returns."""
        step = record["step"]
        with report_write_errors(self.folder, f"after step {step}"):
            for name, value in record.items():
                if isinstance(value, int | float) and name != "step":
                    self._writer.add_scalar(_tag(name), value, step)
            self._writer.flush()

    def close(self) -> None:
        """Close the files."""
        self._writer.close()


@contextmanager
def open_log(kind: str | None, folder: Path, first_step: int) -> Iterator[Log]:
    """Open the log that ``kind`` names, in ``folder``, for records from ``first_step`` on.

    Raises InputError if a package for it is missing.
    """
    if kind is None:
        yield NoLog()
        return
    log = TensorBoardLog(folder / SCALARS_FOLDER, first_step)
    try:
        yield log
    finally:
        log.close()


def _tag(name: str) -> str:
    """Return the name of a record's number among TensorBoard's, which are grouped by prefix.

    >>> _tag("env0_in_acc"), _tag("env1_out_2few"), _tag("loss")
    ('accuracy/env0_in', 'accuracy/env1_out_2few', 'training/loss')
    """
    if re.match(r"env\d+_", name):
        return f"accuracy/{name.removesuffix('_acc')}"
    return f"training/{name}"
