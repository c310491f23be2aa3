"""Callbacks: objects that observe a run while it trains.

A callback sees every update and every record. It may write a line to a file of its own with each
record, and keep state in the resume file. It must leave the run's numbers as they are.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from imbalance_splits.errors import InputError

if TYPE_CHECKING:
    from ndcl_domainbed.training.arguments import TrainArguments
    from ndcl_domainbed.training.batches import Batch
    from ndcl_domainbed.training.preparation import Run

_BY_FLAG = {"diagnostics": "ndcl_domainbed.diagnostics.callback"}
"""For each flag that adds a callback, the module whose ``make_callback`` makes it.

These modules import this one, so they are named here and imported only when a run needs them.
"""


class UnsuitableAlgorithm(InputError):
    """A callback cannot observe an algorithm."""


class Callback:
    """Observes a run. A subclass sets ``name`` and overrides the methods it needs.

    What :meth:`on_record` returns goes, with the step, to ``NAME.jsonl`` in the run's folder.
    """

    name: str

    def check(self, algorithm: str, hparams: Mapping[str, Any] | None = None) -> None:
        """Raise UnsuitableAlgorithm for an algorithm that cannot be observed.

        Called before the data are read. ``hparams`` None means the defaults.
        """

    def start(self, run: Run, state: dict[str, Any]) -> None:
        """Prepare to observe ``run``.

        The resume file holds ``state``, so keep there, as tensors and plain values, what a resumed
        run needs, and change it in place. It is empty at the start of a run.
        """

    def around_update(
        self, step: int, minibatches: Sequence[Batch]
    ) -> AbstractContextManager[None]:
        """Return a context manager that the update of ``step`` runs in."""
        return nullcontext()

    def on_record(self, step: int) -> dict[str, Any] | None:
        """Return the line to write with the record of ``step``; None for no line."""
        return None


def make_callback(flag: str) -> Callback:
    """Return the callback that ``--flag`` adds to a run."""
    return importlib.import_module(_BY_FLAG[flag]).make_callback()


def callbacks_from_flags(arguments: TrainArguments) -> list[Callback]:
    """Return the callbacks that the flags of a run ask for."""
    return [make_callback(flag) for flag in _BY_FLAG if getattr(arguments, flag)]


def line_file(name: str) -> str:
    """Return the name of the file that a callback's lines go to."""
    return f"{name}.jsonl"


def all_line_files(callbacks: Iterable[Callback]) -> list[str]:
    """Return the files of ``callbacks`` and of all that a flag could have added."""
    return sorted({line_file(name) for name in [*_BY_FLAG, *(one.name for one in callbacks)]})
