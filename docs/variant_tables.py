"""The table of evaluation variants in docs/results.md, from the runs of sweeps/variants.yaml.

`python docs/make_results.py --variants DIR` imports its finished runs. A row of the file is an
evaluation of a run, at the step that balanced validation selects in it.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from result_tables import format_table, leaderboard
from studies import BOARD, DOCS, read_finished, replace_runs, write_machine

NAME = "variants"
FILE = DOCS / "results" / f"{NAME}.csv"
JOIN = " + "
"""Between the name of a row and that of its variant."""


def import_runs(folder: Path) -> None:
    """Add the finished runs of the sweep in ``folder`` to the file, instead of those it has."""
    found = read_finished(folder, variants=[])
    there = pd.read_csv(FILE) if FILE.exists() else found[:0]
    replace_runs(there, found).to_csv(FILE, index=False, float_format="%.6f")
    write_machine(NAME)


def gains(rows: pd.DataFrame) -> str:
    """Return what each variant adds to its algorithm, overall / on Few: a table of both.

    Differences in points, means over the boards, with the standard error over the trials.
    """
    figures = rows.groupby(["algorithm", *BOARD, "trial_seed"])[["overall", "few"]].mean() * 100
    trials = figures.groupby(["algorithm", "trial_seed"]).mean()
    names = trials.index.get_level_values("algorithm").unique()
    plain = [name for name in names if JOIN not in name]
    variants = sorted({name.rpartition(JOIN)[2] for name in names} - {*plain}, key=str.lower)
    body = []
    for variant in variants:
        line = [variant]
        for name in plain:
            gap = trials.loc[f"{name}{JOIN}{variant}"] - trials.loc[name]
            mean, error = gap.mean(), gap.sem()
            line.append(
                f"{mean['overall']:+.1f} ± {error['overall']:.1f} / "
                f"{mean['few']:+.1f} ± {error['few']:.1f}"
            )
        body.append(line)
    return format_table(["overall / Few", *plain], body)


def build_parts() -> dict[str, str]:
    """Return the generated parts of the page, by name."""
    rows = pd.read_csv(FILE)
    return {"variants": leaderboard(rows), "variants gains": gains(rows)}
