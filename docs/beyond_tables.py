"""The tables of docs/beyond.md, from the runs of its sweeps.

    python docs/beyond_tables.py --part confirm --sweep DIR    first import the finished runs in DIR

Then `python docs/make_results.py` fills in the page.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from studies import BOARD, read_finished, replace_runs

from ndcl_domainbed.results import names
from ndcl_domainbed.results.labels import base_dataset

DOCS = Path(__file__).parent
PAGE = DOCS / "beyond.md"
AUTO, POOLED = "prior_strength=auto", "prior_strength=pooled"
STRONG = f"NDCL (alpha=0.3, beta=0.3, class_prior=logit, {AUTO})"
CANDIDATES = {
    "NDCL (class_prior=logit)": "logit",
    f"NDCL (class_prior=logit, {AUTO})": "auto",
    f"NDCL (class_prior=logit, {POOLED})": "pooled",
    STRONG: "auto, strong",
    "NDCL_AdjustedSpace": "adjusted space",
    "NDCL_Memory": "memory",
}
"""The names of the candidates in tables -> on the page."""

SECOND = f"NDCL ({CANDIDATES[STRONG]})"
FORMS = ("NDCL (class_prior=logit)", "NDCL_AdjustedSpace", SECOND)
COMPARED = ("NDCL (class_prior=logit)", "BSoftmax", "LA", "NDCL", "ERM")


def file_of(part: str) -> Path:
    """Return the file with the runs of "choose" or "confirm"."""
    return DOCS / "results" / f"beyond_{part}.csv"


def import_runs(part: str, folder: Path) -> None:
    """Add the finished runs of the sweep in ``folder`` to the file, instead of those it has."""
    found = read_finished(folder)
    there = pd.read_csv(file_of(part)) if file_of(part).exists() else found[:0]
    rows = replace_runs(there, found)
    rows.to_csv(file_of(part), index=False, float_format="%.6f")


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
    lines = [head, [":--", *["--:"] * (len(head) - 1)]]
    for name in (scores if joint else overall).sort_values(ascending=False).index:
        pairs = [(overall[name], few[name])]
        pairs += [
            (means[("overall", *board)][name], means[("few", *board)][name]) for board in boards
        ]
        shown = [f"{one:.1f} / {other:.1f}" for one, other in pairs]
        shown += [f"{scores[name]:.2f}"] if joint else []
        lines.append([str(name), *shown])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def gap_table(rows: pd.DataFrame) -> str:
    """Return what the forms of NDCL have more than others, overall / on Few, in points.

    Paired by trial: of each the mean over targets, then over boards; then the mean over trials
    and, if there are several, its standard error.
    """
    figures = rows.groupby(["algorithm", *BOARD, "trial_seed"])[["overall", "few"]].mean() * 100
    trials = figures.groupby(["algorithm", "trial_seed"]).mean()
    several = rows["trial_seed"].nunique() > 1
    lines = [["minus", *COMPARED], [":--", *["--:"] * len(COMPARED)]]
    for name in FORMS:
        cells = []
        for other in COMPARED:
            gap = trials.loc[name] - trials.loc[other]
            both = zip(gap.mean(), gap.sem(), strict=True)
            parts = [f"{mean:+.1f}" + f" ± {error:.1f}" * several for mean, error in both]
            cells.append("" if name == other else " / ".join(parts))
        lines.append([name, *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


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
        import_runs(options.part, sweep)
