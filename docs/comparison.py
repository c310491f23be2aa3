"""Writes docs/results/comparison.parquet, the big comparison, from finished runs of its sweep.

    python docs/comparison.py DIR [DIR ...]    the output directories of sweeps/comparison.yaml

The file is made from these folders alone; of a run that several have, the last counts. A row is a
run at a step that one of ``CRITERIA`` selects in it. ``score_NAME`` is what the criterion looks at
there: the highest is chosen, then as ``select`` says. The measures are those of the target, as
shares; ``seconds`` is the time of the run's updates. The file has the draws of the hyper-parameters
that are complete on their board: every row, target and trial. A row whose draw 0 is not complete on
every board is left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from studies import (
    BOARD,
    DOCS,
    DRAW,
    MEASURES,
    RUN,
    SWEEPS,
    iterate_boards,
    list_jobs,
    write_machine,
)

from ndcl_domainbed.results.labels import base_dataset
from ndcl_domainbed.results.reading import read_sweep
from ndcl_domainbed.results.selection import CRITERIA as EVERY_CRITERION
from ndcl_domainbed.results.selection import best_of_each_draw

FILE = DOCS / "results" / "comparison.parquet"
NAME = "comparison"
CRITERIA = ("balanced", "training", "worst_class", "oracle")
SCORES = tuple(f"score_{name}" for name in CRITERIA)
ROUNDED = ("many", "medium", "few", "balanced", "seconds")
"""Columns kept to seven digits. The others are kept whole, since equal shares of images tie."""


@cache
def jobs() -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of every run of the sweep, by the columns of ``DRAW``."""
    return list_jobs(SWEEPS / f"{NAME}.yaml")


def read_runs(folders: list[Path]) -> pd.DataFrame:
    """Return the finished runs of the sweep in some folders, in the columns of the file."""
    sweep = read_sweep(folders)
    runs = sweep.runs[sweep.runs["state"] == "done"].drop_duplicates(DRAW, keep="last")
    in_sweep = [tuple(row) in jobs() for row in runs[DRAW].itertuples(index=False)]
    records = sweep.frame()
    records = records[records["run"].isin(runs["run"][in_sweep])].reset_index(drop=True)
    chosen = [best_of_each_draw(records, name)[[*DRAW, "step"]] for name in CRITERIA]
    updates = records.groupby("run", observed=True)["step"].diff().fillna(records["step"] + 1)
    seconds = records["step_time"] * updates
    records["seconds"] = seconds.groupby(records["run"], observed=True).transform("sum")
    for name, column in zip(CRITERIA, SCORES, strict=True):
        every = np.ones(len(records), dtype=bool)
        records[column], _ = EVERY_CRITERION[name].scores(records, every)
    records = records.astype(dict.fromkeys([*BOARD, "algorithm"], str))
    steps = pd.concat(chosen).astype(dict.fromkeys([*BOARD, "algorithm"], str)).drop_duplicates()
    found = records.merge(steps, on=[*DRAW, "step"])
    return found[[*DRAW, "step", *SCORES, *MEASURES, "seconds"]].sort_values([*DRAW, "step"])


def keep_complete(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the complete draws of the rows that have their defaults on every board there is."""
    draw, row = [*BOARD, "hparams_seed"], [*BOARD, "algorithm"]
    listed = pd.DataFrame(list(jobs()), columns=DRAW)
    wanted = listed[listed["hparams_seed"] == 0].groupby(row).size()  # targets x trials
    runs = rows[DRAW].drop_duplicates()
    there = runs[runs["hparams_seed"] == 0].groupby(row).size()
    has_defaults = wanted[there.reindex(wanted.index) == wanted]
    boards = has_defaults.groupby("algorithm").size()
    counted = boards[boards == len(has_defaults.groupby(BOARD))].index
    runs = runs[runs["algorithm"].isin(counted)]
    of_board = wanted[wanted.index.isin(counted, level="algorithm")].groupby(BOARD).sum()
    sizes = runs.groupby(draw).size()
    complete = sizes[sizes == of_board.reindex(sizes.index.droplevel("hparams_seed")).to_numpy()]
    kept = runs.merge(complete.index.to_frame(index=False), on=draw)
    return rows.merge(kept, on=DRAW)


def write_file(folders: list[Path]) -> str:
    """Write the file from some folders; return what is in it, in a line."""
    found = read_runs(folders)
    rows = keep_complete(found)
    if rows.empty:
        raise SystemExit("No row has its defaults on every dataset and setting: resume the sweep.")
    short = {
        "step": np.int16,
        **dict.fromkeys(DRAW[3:], np.int8),
        **dict.fromkeys(ROUNDED, np.float32),
    }
    rows.astype(short).to_parquet(FILE, index=False, compression="zstd", compression_level=19)
    write_machine(NAME)
    return f"{len(found[DRAW].drop_duplicates()):,} finished runs; in the file: {describe(rows)}"


def describe(rows: pd.DataFrame) -> str:
    """Return how many runs and draws there are, and the rows that are left out."""
    missing = {key[2] for key in jobs()}.difference(rows["algorithm"])
    without = f" Rows without all their defaults so far: {', '.join(sorted(missing))}."
    return (
        f"**{len(rows[DRAW].drop_duplicates()):,} of the sweep's {len(jobs()):,} runs.** "
        f"{describe_draws(rows)} A draw counts once every row, target and trial is done."
        f"{without if missing else ''}"
    )


def describe_draws(rows: pd.DataFrame) -> str:
    """Return how many draws the boards have."""
    boards: dict[int, list[str]] = {}
    for dataset, setting, board in iterate_boards(rows):
        count = board["hparams_seed"].nunique()
        boards.setdefault(count, []).append(f"{base_dataset(dataset)} {setting}")
    parts = [f"{count} in {', '.join(names)}" for count, names in sorted(boards.items())]
    if len(boards) == 1:
        parts = [f"{count} everywhere" for count in boards]
    return f"Draws of the hyper-parameters: {'; '.join(reversed(parts))}."


def keep_shared_draws(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of the draws that every board has: tables compare equal efforts."""
    boards = [set(board["hparams_seed"]) for _, _, board in iterate_boards(rows)]
    return rows[rows["hparams_seed"].isin(set.intersection(*boards))]


def describe_shared_draws(rows: pd.DataFrame) -> str:
    """Return how many draws every board has, as the tables use them."""
    count = keep_shared_draws(rows)["hparams_seed"].nunique()
    if count == 1:
        return "Every algorithm has its default hyper-parameters."
    return f"Every algorithm has {count} draws of the hyper-parameters in every setting."


def read_file() -> pd.DataFrame:
    """Return the rows of the file."""
    rows = pd.read_parquet(FILE)
    return rows.astype(dict.fromkeys(ROUNDED, float) | dict.fromkeys([*DRAW[3:], "step"], int))


def order(rows: pd.DataFrame, criterion: str = "balanced") -> pd.DataFrame:
    """Return the rows that a criterion can choose, from the first choice to the last.

    Ties go to the highest draw and the first step; the worst class's first to the higher mean over
    the classes, as in ``ndcl_domainbed.results.selection``.
    """
    score = f"score_{criterion}"
    second = "score_balanced" if criterion == "worst_class" else score
    return rows[rows[score].notna()].sort_values(
        [score, second, "hparams_seed", "step"], ascending=[False, False, False, True]
    )


def select(
    rows: pd.DataFrame, criterion: str = "balanced", groups: Sequence[str] = RUN
) -> pd.DataFrame:
    """Return the row that a criterion chooses in each group: of every trial, one run and step.

    With ``groups=DRAW`` that is the step of every run.
    """
    columns = list(groups)
    return order(rows, criterion).drop_duplicates(columns).sort_values(columns, ignore_index=True)


if __name__ == "__main__":
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("folders", type=Path, nargs="+", metavar="DIR")
    print(write_file(flags.parse_args().folders))
