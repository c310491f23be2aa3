"""Makes some runs of docs/results/digits.csv again and tells whether they come out the same.

    python docs/rerun_results.py --data_dir data [--runs 3] [--seed 0] [--algorithm ERM]

Each is a training run of its own, with one thread as a job of the sweep has. On the machine of
docs/results/machine.json all figures have to be the same: if one is not, the exit status is 1.
Elsewhere differences are shown and prove nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
from make_results import FILE, MACHINE, MEASURES, RUN, this_machine

from imbalance_splits.seeds import seed_hash
from ndcl_domainbed.results.chosen import every_run
from ndcl_domainbed.results.reading import read_sweep

WRITTEN = 1e-6
"""So much may figures differ by: they are shares, compared to six digits."""


def run_again(row: pd.Series, data_dir: str, folder: Path) -> pd.Series:
    """Return the run of ``row``, made again in ``folder``, at its selected step."""
    env, trial = int(row["test_env"]), int(row["trial_seed"])
    command = [
        *(sys.executable, "-m", "ndcl_domainbed", "train", "--dataset", "DigitsDG"),
        *("--imbalance", row["setting"], "--algorithm", row["algorithm"]),
        *("--test_envs", str(env), "--trial_seed", str(trial), "--data_dir", data_dir),
        *("--seed", str(seed_hash("DigitsDG", row["algorithm"], [env], 0, trial))),
        *("--skip_model_save", "--output_dir", str(folder)),
    ]
    env_of_a_job = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, env=env_of_a_job, check=True, stdout=subprocess.DEVNULL)
    return every_run(read_sweep([str(folder)]), ["balanced"]).iloc[0]


def main() -> int:
    """Run the command; return its exit status."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--data_dir", required=True, help="folder of the data sets")
    flags.add_argument("--runs", type=int, default=3)
    flags.add_argument("--seed", type=int, default=0, help="of the choice of runs")
    flags.add_argument("--algorithm", help="choose among its runs only")
    args = flags.parse_args()
    is_same_machine = json.loads(MACHINE.read_text(encoding="utf-8")) == this_machine()
    if not is_same_machine:
        print(f"The runs were made on another machine: see {MACHINE}.")
    rows = pd.read_csv(FILE)
    rows = rows[rows["algorithm"] == args.algorithm] if args.algorithm else rows
    chosen = rows.sample(min(args.runs, len(rows)), random_state=args.seed)
    different = 0
    for _, row in chosen.iterrows():
        with tempfile.TemporaryDirectory() as folder:
            again = run_again(row, args.data_dir, Path(folder))
        apart = {
            name: f"{row[name]} then, {again[name]:.6f} now"
            for name in MEASURES
            if not abs(row[name] - again[name]) <= WRITTEN
            and not pd.isna([row[name], again[name]]).all()
        }
        different += bool(apart)
        print(*(row[name] for name in RUN), "differs:" if apart else "is the same", apart or "")
    print(f"{len(chosen) - different} of {len(chosen)} runs came out the same.")
    return int(is_same_machine and different > 0)


if __name__ == "__main__":
    sys.exit(main())
