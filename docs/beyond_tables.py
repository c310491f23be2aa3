"""The tables of docs/beyond.md, from the runs of its sweeps.

    python docs/beyond_tables.py --part confirm --sweep DIR    first import the finished runs in DIR

Then `python docs/make_results.py` fills in the page.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from result_tables import average_trials, describe_gap, format_table
from studies import BOARD, add_finished

from ndcl_domainbed.results import names
from ndcl_domainbed.results.labels import base_dataset

DOCS = Path(__file__).parent
PAGE = DOCS / "beyond.md"
AUTO, POOLED = "prior_strength=auto", "prior_strength=pooled"
LOGIT = "NDCL (class_prior=logit)"
STRONG = f"NDCL (alpha=0.3, beta=0.3, class_prior=logit, {AUTO})"
CANDIDATES = {
    LOGIT: "logit",
    f"NDCL (class_prior=logit, {AUTO})": "auto",
    f"NDCL (class_prior=logit, {POOLED})": "pooled",
    STRONG: "auto, strong",
    "NDCL_AdjustedSpace": "adjusted space",
    "NDCL_Memory": "memory",
}
"""The names of the candidates in tables -> on the page."""

SECOND = f"NDCL ({CANDIDATES[STRONG]})"
FORMS = (LOGIT, "NDCL_AdjustedSpace", SECOND)
COMPARED = (LOGIT, "BSoftmax", "LA", "NDCL", "ERM")


def file_of(part: str) -> Path:
    """Return the file with the runs of "choose" or "confirm"."""
    return DOCS / "results" / f"beyond_{part}.csv"


def average(rows: pd.DataFrame) -> pd.DataFrame:
    """Return algorithms x (measure, dataset, setting) in percent: means over targets and trials."""
    cells = rows.groupby(["algorithm", *BOARD, "test_env"])[["overall", "few"]].mean() * 100
    return cells.groupby(["algorithm", *BOARD]).mean().unstack(BOARD)


def table(means: pd.DataFrame, *, joint: bool) -> str:
    """Return a Markdown table: overall / Few of each board, and the means over the boards.

    ``joint`` adds the mean of both means, and sorts by it instead of by the overall mean.
    """
    boards = [
        board
        for dataset in sorted({dataset for _, dataset, _ in means.columns}, reverse=True)
        for setting in names.SETTINGS
        if (board := (dataset, setting)) in means["overall"].columns
    ]
    overall, few = means["overall"].mean(axis=1), means["few"].mean(axis=1)
    scores = (overall + few) / 2
    columns = [f"{base_dataset(dataset)} {setting}" for dataset, setting in boards]
    head = ["overall / Few", "mean", *columns, *(["mean of both"] if joint else [])]
    body = []
    for name in (scores if joint else overall).sort_values(ascending=False).index:
        pairs = [(overall[name], few[name])]
        pairs += [
            (means[("overall", *board)][name], means[("few", *board)][name]) for board in boards
        ]
        shown = [f"{one:.1f} / {other:.1f}" for one, other in pairs]
        shown += [f"{scores[name]:.2f}"] if joint else []
        body.append([str(name), *shown])
    return format_table(head, body)


def gap_table(rows: pd.DataFrame) -> str:
    """Return what the forms of NDCL have more than others."""
    trials = average_trials(rows)
    body = [
        [name, *("" if name == other else describe_gap(trials, name, other) for other in COMPARED)]
        for name in FORMS
    ]
    return format_table(["minus", *COMPARED], body)


def build_parts() -> dict[str, str]:
    """Return the generated parts of the page, by name."""
    choice, runs = (pd.read_csv(file_of(part)) for part in ("choose", "confirm"))
    parts = {"choice": table(average(choice).rename(index=CANDIDATES), joint=True)}
    runs["algorithm"] = runs["algorithm"].replace({STRONG: SECOND})
    for dataset, here in runs.groupby("dataset"):
        network = " Lite2" if "lite2" in str(dataset) else ""
        parts[f"confirmation {base_dataset(str(dataset))}{network}"] = "\n\n".join(
            [f"{len(here):,} runs.", table(average(here), joint=False), gap_table(here)]
        )
    return parts


if __name__ == "__main__":
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--part", choices=("choose", "confirm"), required=True)
    flags.add_argument("--sweep", type=Path, nargs="+", required=True, metavar="DIR")
    options = flags.parse_args()
    for sweep in options.sweep:
        add_finished(file_of(options.part), sweep)
