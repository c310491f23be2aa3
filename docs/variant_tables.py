"""The table of evaluation variants in docs/results.md, from the runs of sweeps/variants.yaml.

`python docs/make_results.py --variants DIR` imports its finished runs. A row of the file is an
evaluation of a run, at the step that balanced validation selects in it.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from result_tables import average_trials, describe_gap, format_table, leaderboard
from studies import DOCS, add_finished

FILE = DOCS / "results" / "variants.csv"
JOIN = " + "
"""Between the name of a row and that of its variant."""


def import_runs(folder: Path) -> None:
    """Add the finished runs of the sweep in ``folder`` to the file, with all their variants."""
    add_finished(FILE, folder, variants=[])


def gains(rows: pd.DataFrame) -> str:
    """Return what each variant adds to its algorithm."""
    trials = average_trials(rows)
    names = trials.index.unique("algorithm")
    plain = [name for name in names if JOIN not in name]
    variants = sorted({name.partition(JOIN)[2] for name in names} - {""}, key=str.lower)
    body = [
        [variant, *(describe_gap(trials, f"{name}{JOIN}{variant}", name) for name in plain)]
        for variant in variants
    ]
    return format_table(["overall / Few", *plain], body)


def build_parts() -> dict[str, str]:
    """Return the generated parts of the page, by name."""
    rows = pd.read_csv(FILE)
    return {"variants": leaderboard(rows), "variants gains": gains(rows)}
