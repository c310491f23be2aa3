"""The tables of docs/semi_supervised.md, from the runs of its sweep.

    python docs/semi_tables.py --sweep DIR         first import the finished runs in DIR

Then `python docs/make_results.py` fills in the page.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import beyond_tables
import pandas as pd
from studies import BOARD, DOCS, read_finished, replace_runs

PAGE = DOCS / "semi_supervised.md"
FILE = DOCS / "results" / "semi_supervised.csv"
REFERENCE = "NDCL (class_prior=logit)"
SUPERVISED = ("ERM", "NDCL", REFERENCE)


def import_runs(folder: Path) -> None:
    """Add the finished runs of the sweep in ``folder`` to the file, instead of those it has."""
    found = read_finished(folder)
    there = pd.read_csv(FILE) if FILE.exists() else found[:0]
    replace_runs(there, found).to_csv(FILE, index=False, float_format="%.6f")


def compare(rows: pd.DataFrame, name: str) -> list[str]:
    """Return the cells of the line that compares ``name`` with the supervised reference.

    Differences of the means over trials, averaged over the pairs of setting and target, with the
    standard error over these pairs.
    """
    figures = rows.groupby(["algorithm", "setting", "test_env"])[["overall", "few"]].mean() * 100
    gaps = figures.loc[name] - figures.loc[REFERENCE]
    gaps["both"] = gaps.mean(axis=1)
    return [f"{gap:+.1f} ± {error:.1f}" for gap, error in zip(gaps.mean(), gaps.sem(), strict=True)]


def build_parts() -> dict[str, str]:
    """Return the generated parts of the page, by name: a table for each number of whole trials."""
    every = pd.read_csv(FILE)
    is_supervised = every["algorithm"].isin(SUPERVISED)
    runs, supervised = every[~is_supervised], every[is_supervised]
    tables = []
    lines = ["| against " + REFERENCE + " | trials | overall | Few | mean of both |"]
    lines.append("| :-- | --: | --: | --: | --: |")
    for trials, names in _names_by_trials(runs).items():
        here = pd.concat([runs[runs["algorithm"].isin(names)], supervised])
        here = here[here["trial_seed"] < trials]
        table = beyond_tables.table(beyond_tables.average(here), joint=True)
        title = "Trial 0" if trials == 1 else f"Trials 0 to {trials - 1}"
        tables.append(f"{title}, {len(here):,} runs:\n\n{table}")
        for name in names:
            cells = [name, str(trials), *compare(here, name)]
            lines.append("| " + " | ".join(cells) + " |")
    return {"results": "\n\n".join(tables), "gains": "\n".join(lines)}


def _names_by_trials(runs: pd.DataFrame) -> dict[int, list[str]]:
    """Return how many trials, the first ones, are whole -> the algorithms that have as many."""
    cells = len(runs[[*BOARD, "test_env"]].drop_duplicates())
    whole = runs.groupby(["algorithm", "trial_seed"]).size() == cells
    counts = whole.groupby("algorithm").sum()
    return {
        int(number): sorted(counts.index[counts == number], reverse=True)
        for number in sorted(set(counts), reverse=True)
        if number
    }


if __name__ == "__main__":
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--sweep", type=Path, nargs="+", required=True, metavar="DIR")
    for sweep in flags.parse_args().sweep:
        import_runs(sweep)
