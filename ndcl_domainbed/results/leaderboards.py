"""Which tables a sweep gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from imbalance_splits.errors import unknown_name
from ndcl_domainbed.results import names, tables
from ndcl_domainbed.results.labels import network_in
from ndcl_domainbed.results.reading import Sweep
from ndcl_domainbed.results.run_index import CriterionSource, RunIndex
from ndcl_domainbed.results.selection import CRITERIA, select
from ndcl_domainbed.results.splits import SplitInfo, split_info
from ndcl_domainbed.results.tables import AVERAGE, SELECTION, CellSource, Row, Table


@dataclass(frozen=True)
class Board:
    """One dataset, seen by one network, under one setting, and what is known of its runs.

    ``fixed``: the overrides that all its runs share, "batch_size=4".
    """

    dataset: str
    setting: str
    algorithms: list[str]
    domains: list[str]
    info: SplitInfo
    index: RunIndex
    fixed: str

    @property
    def title(self) -> dict[str, str]:
        """Return what the board is about."""
        title = {"Dataset": self.dataset}
        return title if self.setting == names.NO_SETTING else title | {"imbalance": self.setting}


@dataclass(frozen=True)
class SelectedBoard:
    """A board and the records that a criterion chose for it."""

    board: Board
    selected: pd.DataFrame
    title: dict[str, str]
    source: CellSource

    @property
    def envs(self) -> list[int]:
        """Return the test domains that any algorithm has a figure for; all, if none has."""
        known: list[int] = sorted(self.selected["test_env"].unique().tolist())
        return known or list(range(len(self.board.domains)))

    def domain_rows(self, metric: str) -> list[Row]:
        """Return algorithms x domains."""
        n_envs = len(self.board.domains)
        return tables.domain_rows(self.selected, self.board.algorithms, n_envs, metric, self.source)

    def measure_rows(
        self, metrics: Sequence[str], algorithms: Sequence[str] | None = None
    ) -> list[Row]:
        """Return algorithms (by default those of the board) x measures over the test domains."""
        rows = self.board.algorithms if algorithms is None else algorithms
        return tables.measure_rows(self.selected, rows, self.envs, metrics, self.source)


@dataclass
class Leaderboards:
    """All tables of one criterion, and the records that it chose."""

    criterion: str
    selected: pd.DataFrame
    boards: list[SelectedBoard] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def board_rows(frame: pd.DataFrame, dataset: str, setting: str) -> pd.DataFrame:
    """Return the rows of a frame that belong to one dataset and setting."""
    return frame[(frame["dataset"] == dataset) & (frame["setting"] == setting)]


def index_boards(runs: pd.DataFrame, records: pd.DataFrame) -> list[Board]:
    """Return every board of ``runs``, in the order of tables."""
    pairs = set(runs[["dataset", "setting"]].drop_duplicates().itertuples(index=False, name=None))
    datasets = names.ordered_datasets(dataset for dataset, _ in pairs)
    settings = names.ordered(sorted(setting for _, setting in pairs), names.SETTINGS)
    return [
        _index_board(board_rows(runs, dataset, setting), records, dataset, setting)
        for setting in settings
        for dataset in datasets
        if (dataset, setting) in pairs
    ]


def _index_board(runs: pd.DataFrame, records: pd.DataFrame, dataset: str, setting: str) -> Board:
    info = split_info(runs)
    domains = names.environment_names(dataset, int(runs["n_envs"].max()), info.environments)
    return Board(
        dataset=dataset,
        setting=setting,
        algorithms=names.ordered_algorithms(map(str, runs["algorithm"].unique())),
        domains=domains or names.environment_names(dataset, 1 + _last_target(runs)),
        info=info,
        index=RunIndex(runs, lambda: board_rows(records, dataset, setting)),
        fixed=str(runs["fixed"].iloc[0]),
    )


def _last_target(runs: pd.DataFrame) -> int:
    """Return the greatest number of a test domain: all that is known of them without a record."""
    return max(int(env) for text in runs["test_envs"].unique() for env in str(text).split())


def build(
    sweep: Sweep,
    criteria: Sequence[str] = tuple(CRITERIA),
    *,
    records: pd.DataFrame | None = None,
    partial: bool = False,
    metrics: Sequence[str] | None = None,
) -> list[Leaderboards]:
    """Return the tables of ``sweep`` under each of ``criteria``.

    For every setting: for every dataset algorithms x domains and, if the split is imbalanced,
    algorithms x measures; then the averages over the datasets, by network. ``records`` is
    ``sweep.frame()``, if it is at hand. ``metrics``: the measures to show, and to show by domain;
    by default all, and the overall accuracy by domain.

    Raises InputError for an unknown criterion or measure.
    """
    for metric in metrics or ():
        if metric not in names.METRICS:
            raise unknown_name("measure", metric, names.METRICS)
    frame = sweep.frame() if records is None else records
    boards = index_boards(sweep.runs, frame)
    built = []
    for criterion in criteria:
        result = Leaderboards(criterion, select(frame, criterion, partial=partial))
        result.boards = [
            _select_board(board, result, partial)
            for board in boards
            if _applies(board, frame, criterion)
        ]
        for setting in dict.fromkeys(one.board.setting for one in result.boards):
            here = [one for one in result.boards if one.board.setting == setting]
            result.tables += _setting_tables(here, metrics)
        built.append(result)
    return built


def _select_board(board: Board, result: Leaderboards, partial: bool) -> SelectedBoard:
    return SelectedBoard(
        board=board,
        selected=board_rows(result.selected, board.dataset, board.setting),
        title={**board.title, SELECTION: CRITERIA[result.criterion].title},
        source=CriterionSource(board.index, board.domains, result.criterion, partial),
    )


def _setting_tables(boards: Sequence[SelectedBoard], metrics: Sequence[str] | None) -> list[Table]:
    built = [table for one in boards for table in _board_tables(one, metrics)]
    networks = [network_in(one.board.dataset) for one in boards]
    for network in dict.fromkeys(networks):  # an average is never over several networks
        here = [one for one, its in zip(boards, networks, strict=True) if its == network]
        if any(len(one.selected) for one in here):
            built += [_average_table(here, network, metric) for metric in metrics or ("overall",)]
    return built


def _board_tables(one: SelectedBoard, metrics: Sequence[str] | None) -> list[Table]:
    if one.selected.empty:  # one table is enough to say why
        return [_domain_table(one, "overall")]
    built = [_domain_table(one, metric) for metric in metrics or ("overall",)]
    has_zero = bool(one.selected["zero"].notna().any())
    shown = [name for name in metrics or names.METRICS if name != "zero" or has_zero]
    if shown and (one.board.setting != names.NO_SETTING or _has_groups(one.selected)):
        built.append(_measure_table(one, shown))
    return built


def _applies(board: Board, frame: pd.DataFrame, criterion: str) -> bool:
    """Whether a table is worth showing: the balanced criterion is for imbalanced splits only."""
    if criterion != "balanced" or board.setting != names.NO_SETTING:
        return True
    columns = [name for name in frame.columns if name.endswith("_val_acc")]
    rows = board_rows(frame, board.dataset, board.setting)
    return bool(columns) and bool(rows[columns].notna().to_numpy().any())


def _add_measure(title: dict[str, str], metric: str) -> dict[str, str]:
    return title if metric == "overall" else {**title, "measure": names.METRIC_TITLES[metric]}


def _domain_table(one: SelectedBoard, metric: str) -> Table:
    title = _add_measure(one.title, metric)
    return Table("domains", title, [*one.board.domains, AVERAGE], one.domain_rows(metric))


def _has_groups(selected: pd.DataFrame) -> bool:
    return bool(selected[["many", "medium", "few", "zero"]].notna().to_numpy().any())


def _measure_table(one: SelectedBoard, metrics: Sequence[str]) -> Table:
    return Table(
        "measures",
        {**one.title, "measures": "shot groups"},
        [names.METRIC_TITLES[metric] for metric in metrics],
        one.measure_rows(metrics),
        head=[
            f"Mean over the test domains {_list_domains(one)}",
            *one.board.info.threshold_lines(one.board.domains),
        ],
    )


def _average_table(boards: Sequence[SelectedBoard], network: str, metric: str) -> Table:
    title = {key: name for key, name in boards[0].title.items() if key != "Dataset"}
    if network:
        title = {"network": network, **title}
    algorithms = names.ordered_algorithms(name for one in boards for name in one.board.algorithms)
    return Table(
        "averages",
        _add_measure({"Averages": "", **title}, metric),
        [*(one.board.dataset for one in boards), AVERAGE],
        tables.average_rows([one.measure_rows([metric], algorithms) for one in boards]),
        notes=[line for one in boards for line in _not_averaged(one)],
    )


def _not_averaged(one: SelectedBoard) -> list[str]:
    """Return which domains and trials of a dataset are not in its averages."""
    dataset = one.board.dataset
    lines = []
    if len(one.envs) < len(one.board.domains):
        lines.append(f"{dataset}: average of {_list_domains(one)} only")
    counts = one.selected.groupby(["algorithm", "trial_seed"], observed=True)["test_env"].nunique()
    algorithms: dict[str, list[str]] = {}
    for algorithm, whole in (counts.unstack(fill_value=0) == len(one.envs)).iterrows():
        without = whole.index[~whole]
        if whole.any() and len(without):
            algorithms.setdefault(", ".join(map(str, without)), []).append(str(algorithm))
    if algorithms:
        trials = "; ".join(f"{some} of {', '.join(rows)}" for some, rows in algorithms.items())
        lines.append(f"{dataset}: without the trials that lack a test domain: {trials}")
    return lines


def _list_domains(one: SelectedBoard) -> str:
    return ", ".join(one.board.domains[env] for env in one.envs)
