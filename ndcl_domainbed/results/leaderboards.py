"""Which tables a sweep gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from imbalance_splits.errors import unknown_name
from ndcl_domainbed.results import names, tables
from ndcl_domainbed.results.boards import Board, add_controls, board_rows, index_boards
from ndcl_domainbed.results.cells import Cells
from ndcl_domainbed.results.labels import network_in
from ndcl_domainbed.results.reading import Sweep
from ndcl_domainbed.results.selection import CRITERIA, select
from ndcl_domainbed.results.tables import AVERAGE, Table


@dataclass
class Leaderboards:
    """All tables of one criterion, and the records that it chose.

    ``cells``: measure -> the cells of each network that :func:`.cells.iterate_cells` has built.
    """

    criterion: str
    selected: pd.DataFrame
    boards: list[Board] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    cells: dict[str, list[Cells]] = field(default_factory=dict)


def build(
    sweep: Sweep,
    criteria: Sequence[str] = tuple(CRITERIA),
    *,
    partial: bool = False,
    metrics: Sequence[str] | None = None,
) -> list[Leaderboards]:
    """Return the tables of ``sweep`` under each of ``criteria``.

    For every setting: for every dataset algorithms x domains and, if the split is imbalanced,
    algorithms x measures; then the averages over the datasets, by network. ``metrics``: the
    measures to show, and to show by domain; by default all, and the overall accuracy by domain.

    Raises InputError for an unknown criterion or measure.
    """
    for metric in metrics or ():
        if metric not in names.METRICS:
            raise unknown_name("measure", metric, names.METRICS)
    frame = sweep.frame()
    boards = index_boards(sweep.runs)
    built = []
    for criterion in criteria:
        result = Leaderboards(criterion, select(frame, criterion, partial=partial))
        applying = [board for board in boards if _applies(board, frame, criterion)]
        result.boards = add_controls(
            [board.select(criterion, result.selected, partial) for board in applying]
        )
        for setting in dict.fromkeys(board.setting for board in result.boards):
            here = [board for board in result.boards if board.setting == setting]
            result.tables += _setting_tables(here, metrics)
        built.append(result)
    return built


def _setting_tables(boards: Sequence[Board], metrics: Sequence[str] | None) -> list[Table]:
    built = [table for board in boards for table in _board_tables(board, metrics)]
    networks = [network_in(board.dataset) for board in boards]
    for network in dict.fromkeys(networks):  # an average is never over several networks
        here = [board for board, its in zip(boards, networks, strict=True) if its == network]
        if any(len(board.selected) for board in here):
            built += [_average_table(here, network, metric) for metric in metrics or ("overall",)]
    return built


def _board_tables(board: Board, metrics: Sequence[str] | None) -> list[Table]:
    if board.selected.empty:  # one table is enough to say why
        return [_domain_table(board, "overall")]
    built = [_domain_table(board, metric) for metric in metrics or ("overall",)]
    known = board.selected[["many", "medium", "few", "zero"]].notna().any()
    shown = [name for name in metrics or names.METRICS if name != "zero" or known["zero"]]
    if shown and (board.setting != names.NO_SETTING or known.any()):
        built.append(_measure_table(board, shown))
    return built


def _applies(board: Board, frame: pd.DataFrame, criterion: str) -> bool:
    """Whether a table is worth showing: an ordinary split, or a list's own, may lack validation."""
    plain = (names.NO_SETTING, names.OWN_SPLIT)
    if not CRITERIA[criterion].by_validation or board.setting not in plain:
        return True
    rows = board_rows(frame, board.dataset, board.setting)
    return bool(rows.filter(regex="_val_acc$").notna().to_numpy().any())


def _add_measure(title: dict[str, str], metric: str) -> dict[str, str]:
    return title if metric == "overall" else {**title, "measure": names.METRIC_TITLES[metric]}


def _domain_table(board: Board, metric: str) -> Table:
    return Table(
        "domains",
        _add_measure(board.title, metric),
        [*board.domains, AVERAGE],
        board.domain_rows(metric),
        notes=board.average_notes(),
    )


def _measure_table(board: Board, metrics: Sequence[str]) -> Table:
    columns = [names.METRIC_TITLES[metric] for metric in metrics]
    rows = board.measure_rows(metrics)
    lost = board.lost_rows() if "overall" in metrics else []
    if lost:
        columns.append(tables.LOST)
        rows = [
            (name, [*cells, *cell]) for (name, cells), (_, cell) in zip(rows, lost, strict=True)
        ]
    head = [f"Mean over {board.envs_text}", *board.info.threshold_lines(board.domains)]
    return Table(
        "measures",
        {**board.title, "measures": "shot groups"},
        columns,
        rows,
        head=[*head, *(board.lost_lines() if lost else [])],
        notes=board.average_notes(),
    )


def _average_table(boards: Sequence[Board], network: str, metric: str) -> Table:
    title = {key: name for key, name in boards[0].title.items() if key != "Dataset"}
    if network:
        title = {"network": network, **title}
    algorithms = names.ordered_algorithms(name for board in boards for name in board.algorithms)
    return Table(
        "averages",
        _add_measure({"Averages": "", **title}, metric),
        [*(board.dataset for board in boards), AVERAGE],
        tables.average_rows([board.measure_rows([metric], algorithms) for board in boards]),
        notes=[f"{board.dataset}: {line}" for board in boards for line in board.average_notes()],
    )
