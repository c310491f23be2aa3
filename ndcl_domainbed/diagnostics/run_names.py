"""What runs are called in pictures and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from ndcl_domainbed.training.arguments import TrainArguments


class Run(Protocol):
    """What must be known of a run to name it."""

    @property
    def folder(self) -> Path:
        """Its folder."""

    @property
    def arguments(self) -> TrainArguments:
        """Its arguments."""

    @property
    def hparams(self) -> dict[str, Any]:
        """Its hyper-parameters."""


def run_names(runs: Sequence[Run]) -> list[str]:
    """Return a short name of each run: its algorithm, and what else tells the runs apart."""
    names = [run.arguments.algorithm for run in runs]
    if len(set(names)) == len(names):
        return names
    for place, run in enumerate(runs):
        others = [other for other in runs if other is not run]
        names[place] = " ".join([names[place], *_differences(run, others)])
    if len(set(names)) < len(names):
        names = [f"{name} ({run.folder.name})" for name, run in zip(names, runs, strict=True)]
    return names


def _differences(run: Run, others: Sequence[Run]) -> list[str]:
    alike = [other for other in others if other.arguments.algorithm == run.arguments.algorithm]
    return [
        f"{name}={value}"
        for name, value in sorted(run.hparams.items())
        if any(other.hparams.get(name) != value for other in alike)
    ]
