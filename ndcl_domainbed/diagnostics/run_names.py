"""Short names of runs, for pictures and tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def run_names(runs: Sequence[Any]) -> list[str]:
    """Return a name for each run: its algorithm, and what else distinguishes the runs.

    A run has ``folder``, ``arguments`` and ``hparams``.
    """
    names = [run.arguments.algorithm for run in runs]
    if len(set(names)) < len(names):
        names = [" ".join([run.arguments.algorithm, *_differences(run, runs)]) for run in runs]
    if len(set(names)) < len(names):
        names = [f"{name} ({run.folder.name})" for name, run in zip(names, runs, strict=True)]
    return names


def _differences(run: Any, runs: Sequence[Any]) -> list[str]:
    """Return the hyper-parameters in which runs of the same algorithm differ."""
    same = [other for other in runs if other.arguments.algorithm == run.arguments.algorithm]
    return [
        f"{name}={value}"
        for name, value in sorted(run.hparams.items())
        if any(other.hparams.get(name) != value for other in same)
    ]
