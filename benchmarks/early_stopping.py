"""What ``sweep launch --stop_early`` would have saved, and lost, in a sweep that ran in full.

    python -m benchmarks.early_stopping --input_dir DIR [--shares 1/6 1/3 1/2] [--keep 1 3 6]

From the records alone, for each share of the steps at the rung and number of draws that resume:
the share of all updates saved; how often the draw that balanced validation chooses in the full
sweep resumes; and how much target accuracy the selected model loses, in points: mean and worst over
the groups of draws (algorithm, dataset, setting, target, trial). Runs that are not done are left
out, and so are groups without more draws than are kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pandas as pd

from ndcl_domainbed.results import load
from ndcl_domainbed.results.selection import GROUP, rank_draws, select
from ndcl_domainbed.sweeping.early_stopping import rung_steps


def compare(draws: pd.DataFrame, share: float, keep: int) -> tuple[float, bool, float] | None:
    """Return of one group: the updates saved, whether the winner resumes, the points lost.

    None for a group without more than ``keep`` draws.
    """
    runs = draws["run"].nunique()
    if runs <= keep:
        return None
    steps = np.unique(draws["step"])
    n_steps = int(steps[-1]) + 1
    rung = rung_steps(share, n_steps, int(steps[1] - steps[0]))
    kept = rank_draws(draws, rung - 1)[:keep]
    winner = select(draws, "balanced").iloc[0]
    chosen = select(draws[draws["run"].isin(kept)], "balanced").iloc[0]
    saved = (runs - keep) * (n_steps - rung) / (runs * n_steps)
    return saved, winner["run"] in kept, 100 * (winner["overall"] - chosen["overall"])


def main() -> None:
    """Read, compare and print."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--input_dir", nargs="+", required=True)
    parser.add_argument("--shares", nargs="+", type=Fraction, default=["1/6", "1/3", "1/2"])
    parser.add_argument("--keep", nargs="+", type=int, default=[1, 3, 6])
    options = parser.parse_args()
    records = load(options.input_dir, details=False)
    records = records[records["done"] & (records["test_env"] >= 0)]
    groups = [mine for _, mine in records.groupby(GROUP, observed=True)]
    for line in table(groups, [Fraction(one) for one in options.shares], options.keep):
        print(line)


def table(
    groups: Sequence[pd.DataFrame], shares: Sequence[Fraction], kept: Sequence[int]
) -> list[str]:
    """Return the table as Markdown."""
    lines = [
        "| rung | kept | updates saved | the winner resumes | points lost, mean | worst |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for share in shares:
        for keep in kept:
            found = [one for mine in groups if (one := compare(mine, float(share), keep))]
            if not found:
                continue
            saved, survives, lost = (np.array(column) for column in zip(*found, strict=True))
            lines.append(
                f"| {share} | {keep} | {saved.mean():.0%} | {survives.sum()} of {len(found)} "
                f"| {lost.mean():.2f} | {lost.max():.2f} |"
            )
    return lines


if __name__ == "__main__":
    main()
