"""Makes some runs of docs/results/NAME.csv again and tells whether they come out the same.

    python docs/rerun_results.py --data_dir data [--study photographs] [--runs 3] [--seed 0]
                                 [--algorithm ERM]

Each is a training run of its own, with one thread as a job of the sweep has. On the machine of
docs/results/machine.json all figures have to be the same: if one is not, the exit status is 1.
Elsewhere differences are shown and prove nothing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from studies import MACHINES, MEASURES, RUN, STUDIES, read_machines, this_machine

from ndcl_domainbed.results.chosen import every_run
from ndcl_domainbed.results.reading import read_sweep
from ndcl_domainbed.sweeping.jobs import make_job

WRITTEN = 1e-6
"""So much may figures differ by: they are shares, compared to six digits."""


def run_again(args: dict[str, Any], data_dir: str, folder: Path) -> pd.Series:
    """Return the run with these arguments, made again in ``folder``, at its selected step."""
    job = make_job({**args, "data_dir": data_dir}, str(folder), 0)
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(job.command(), env=one_thread, check=True, stdout=subprocess.DEVNULL)
    return every_run(read_sweep([str(folder)]), ["balanced"]).iloc[0]


def main() -> int:
    """Run the command; return its exit status."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--data_dir", required=True, help="folder of the datasets")
    flags.add_argument("--study", choices=list(STUDIES), default="digits")
    flags.add_argument("--runs", type=int, default=3)
    flags.add_argument("--seed", type=int, default=0, help="of the choice of runs")
    flags.add_argument("--algorithm", help="choose among its runs only")
    options = flags.parse_args()
    study = STUDIES[options.study]
    is_same_machine = read_machines().get(study.name) == this_machine()
    if not is_same_machine:
        print(f"The runs were made on another machine: see {MACHINES}.")
    rows = study.runs()
    rows = rows[rows["algorithm"] == options.algorithm] if options.algorithm else rows
    chosen = rows.sample(min(options.runs, len(rows)), random_state=options.seed)
    different = 0
    for _, row in chosen.iterrows():
        with tempfile.TemporaryDirectory() as folder:
            again = run_again(study.jobs[tuple(row[RUN])], options.data_dir, Path(folder))
        changed = {
            name: f"{row[name]} then, {again[name]:.6f} now"
            for name in MEASURES
            if not abs(row[name] - again[name]) <= WRITTEN
            and not pd.isna([row[name], again[name]]).all()
        }
        different += bool(changed)
        print(*row[RUN], "differs:" if changed else "is the same", changed or "")
    print(f"{len(chosen) - different} of {len(chosen)} runs came out the same.")
    return int(is_same_machine and different > 0)


if __name__ == "__main__":
    sys.exit(main())
