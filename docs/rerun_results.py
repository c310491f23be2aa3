"""Runs some of the committed runs again and reports whether their figures are the same.

    python docs/rerun_results.py --data_dir data [--study comparison] [--runs 3] [--seed 0]
                                 [--algorithm ERM]

They are drawn at random, of the comparison from all draws of the hyper-parameters. Each is a
training run of its own, with one thread as the jobs of the sweep had. On the machine of
docs/results/machine.json all figures must be the same, else the exit status is 1; on another one,
differences are shown and prove nothing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import comparison
import pandas as pd
from fine_tuned import FINE_TUNED
from studies import DIGITS, DRAW, MACHINES, MEASURES, RUN, read_machines, this_machine

from ndcl_domainbed.results.chosen import every_run
from ndcl_domainbed.results.reading import read_sweep
from ndcl_domainbed.sweeping.jobs import make_job

STUDIES = {study.name: study for study in (DIGITS, FINE_TUNED)}
TOLERANCE = 1e-6
"""Figures are shares, compared to six digits."""


def read_committed(study: str) -> tuple[pd.DataFrame, list[tuple[Any, ...]], dict[Any, Any]]:
    """Return the runs of a study at their selected steps, their keys, and key -> arguments."""
    if study == comparison.NAME:
        rows = comparison.select(comparison.read_file(), groups=DRAW)
        return rows, list(rows[DRAW].itertuples(index=False, name=None)), comparison.jobs()
    rows = STUDIES[study].runs()
    return rows, list(rows[RUN].itertuples(index=False, name=None)), STUDIES[study].jobs


def run_again(args: dict[str, Any], data_dir: str, folder: Path) -> pd.Series:
    """Run with these arguments in ``folder`` and return the result at the selected step."""
    job = make_job({**args, "data_dir": data_dir}, str(folder), 0)
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(job.command(), env=one_thread, check=True, stdout=subprocess.DEVNULL)
    return every_run(read_sweep([str(folder)]), ["balanced"]).iloc[0]


def main() -> int:
    """Run the command; return its exit status."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--data_dir", required=True, help="folder of the datasets")
    flags.add_argument("--study", choices=(*STUDIES, comparison.NAME), default=DIGITS.name)
    flags.add_argument("--runs", type=int, default=3)
    flags.add_argument("--seed", type=int, default=0, help="seed of the choice of runs")
    flags.add_argument("--algorithm", help="only runs of this algorithm")
    options = flags.parse_args()
    is_same_machine = read_machines().get(options.study) == this_machine()
    if not is_same_machine:
        print(f"The runs were made on another machine: see {MACHINES}.")
    rows, keys, jobs = read_committed(options.study)
    rows = rows.assign(key=keys)
    rows = rows[rows["algorithm"] == options.algorithm] if options.algorithm else rows
    chosen = rows.sample(min(options.runs, len(rows)), random_state=options.seed)
    different = 0
    for _, row in chosen.iterrows():
        with tempfile.TemporaryDirectory() as folder:
            again = run_again(jobs[row["key"]], options.data_dir, Path(folder))
        changed = {
            name: f"{row[name]} then, {again[name]:.6f} now"
            for name in MEASURES
            if not abs(row[name] - again[name]) <= TOLERANCE
            and not pd.isna([row[name], again[name]]).all()
        }
        different += bool(changed)
        print(*row["key"], "differs:" if changed else "is the same", changed or "")
    print(f"{len(chosen) - different} of {len(chosen)} runs came out the same.")
    return int(is_same_machine and different > 0)


if __name__ == "__main__":
    sys.exit(main())
