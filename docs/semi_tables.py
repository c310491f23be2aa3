"""The tables of docs/semi_supervised.md, from the runs of its sweep.

    python docs/semi_tables.py --sweep DIR         first import the finished runs in DIR

Then `python docs/make_results.py` fills in the page.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import beyond_tables
import pandas as pd
from result_tables import format_table
from studies import DOCS, add_finished

PAGE = DOCS / "semi_supervised.md"
FILE = DOCS / "results" / "semi_supervised.csv"
REFERENCE = beyond_tables.LOGIT
SUPERVISED = ("ERM", "NDCL", REFERENCE)


def compare(rows: pd.DataFrame, name: str) -> list[str]:
    """Return the cells of the line that compares ``name`` with the supervised reference.

    Differences of the means over trials, averaged over the pairs of setting and target, with the
    standard error over these pairs. ``rows`` has the same boards of both.
    """
    figures = rows.groupby(["algorithm", "setting", "test_env"])[["overall", "few"]].mean() * 100
    gaps = figures.loc[name] - figures.loc[REFERENCE]
    gaps["both"] = gaps.mean(axis=1)
    return [f"{gap:+.1f} ± {error:.1f}" for gap, error in zip(gaps.mean(), gaps.sem(), strict=True)]


def build_parts() -> dict[str, str]:
    """Return the generated parts of the page, by name: a table for each set of whole boards."""
    every = pd.read_csv(FILE)
    is_supervised = every["algorithm"].isin(SUPERVISED)
    runs = every[~is_supervised]
    tables = []
    head = [f"against {REFERENCE}", "runs", "overall", "Few", "mean of both"]
    body = []
    targets = runs["test_env"].nunique()
    found: dict[tuple[tuple[str, int], ...], list[str]] = {}
    for name, mine in runs.groupby("algorithm"):
        whole = mine.groupby(["setting", "trial_seed"]).size() == targets
        found.setdefault(tuple(whole.index[whole]), []).append(str(name))
    for boards, names in sorted(found.items(), key=lambda one: -len(one[0])):
        shown = every[is_supervised | every["algorithm"].isin(names)]
        here = shown.merge(pd.DataFrame(boards, columns=["setting", "trial_seed"]))
        table = beyond_tables.table(beyond_tables.average(here), joint=True)
        trials = sorted({trial for _, trial in boards})
        title = f"Trials {trials[0]} to {trials[-1]}" if len(trials) > 1 else f"Trial {trials[0]}"
        tables.append(f"{title}, {len(here):,} runs:\n\n{table}")
        for name in names:
            body.append([name, str(len(boards) * targets), *compare(here, name)])
    return {"results": "\n\n".join(tables), "gains": format_table(head, body)}


if __name__ == "__main__":
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--sweep", type=Path, nargs="+", required=True, metavar="DIR")
    for sweep in flags.parse_args().sweep:
        add_finished(FILE, sweep)
