"""What a figure costs: seconds of training, and the draws that it was chosen among."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ndcl_domainbed.results.boards import Board, board_rows
from ndcl_domainbed.results.leaderboards import Leaderboards
from ndcl_domainbed.results.reading import Sweep
from ndcl_domainbed.results.statistics_tables import text_row
from ndcl_domainbed.results.tables import SELECTION, Table
from ndcl_domainbed.run_folder import DONE, STOPPED

COLUMNS = ["Seconds per run", "Draws per cell", "Seconds per cell"]
MEANING = (
    "Seconds of training, without evaluation, means over finished runs, trials and test domains; "
    "a figure of one trial is chosen among its draws"
)


def run_seconds(records: pd.DataFrame) -> pd.Series:
    """Return the seconds that the updates of each run took, by the run's number in ``records``.

    A record has the mean time of the updates since the one before.
    """
    if "step_time" not in records or records.empty:
        return pd.Series(dtype=float)
    run, step = records["run"].to_numpy(), records["step"].to_numpy()
    before = np.where(np.diff(run, prepend=-1) != 0, -1, np.roll(step, 1))
    seconds = records["step_time"] * np.maximum(step - before, 0)
    return seconds.fillna(0.0).groupby(records["run"]).sum()


def compute_costs(
    sweep: Sweep, built: Sequence[Leaderboards]
) -> list[tuple[Board, dict[str, list[str]]]]:
    """Return the boards that have finished runs with their times: algorithm -> its cells."""
    runs = sweep.runs.assign(seconds=run_seconds(sweep.records))
    runs = runs[runs["state"].isin([DONE, STOPPED])]
    runs = runs[(runs["test_env"] >= 0) & (runs["seconds"] > 0)]
    runs = runs.assign(finished=runs["seconds"].where(runs["state"] == DONE))
    boards = {(board.dataset, board.setting): board for one in built for board in one.boards}
    found = []
    for board in boards.values():
        mine = board_rows(runs, board.dataset, board.setting)
        cells = mine.groupby(["algorithm", "test_env", "trial_seed"], observed=True)
        costs = cells.agg({"finished": "mean", "seconds": ["count", "sum"]})
        costs = costs.groupby("algorithm").mean()
        rows = {
            name: [f"{run:.1f}", f"{draws:.4g}", f"{figure:.1f}"]
            for name, run, draws, figure in costs.reindex(board.algorithms).dropna().itertuples()
        }
        if rows:
            found.append((board, rows))
    return found


def build_cost_tables(sweep: Sweep, built: Sequence[Leaderboards]) -> list[Table]:
    """Return the tables of :func:`compute_costs`."""
    tables = []
    for board, costs in compute_costs(sweep, built):
        about = {name: value for name, value in board.title.items() if name != SELECTION}
        rows = [text_row(name, cells) for name, cells in costs.items()]
        tables.append(Table("statistics", {"Cost": "", **about}, COLUMNS, rows, [MEANING]))
    return tables
