"""Which tables a sweep gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from imbalance_splits.errors import unknown_name
from ndcl_domainbed.results import names, tables
from ndcl_domainbed.results.labels import network_in
from ndcl_domainbed.results.reading import Sweep
from ndcl_domainbed.results.reasons import RunsBehind, RunStates
from ndcl_domainbed.results.selection import CRITERIA, select
from ndcl_domainbed.results.splits import SplitInfo, split_info
from ndcl_domainbed.results.tables import AVERAGE, SELECTION, Cell, Table

Row = tuple[str, list[Cell]]


@dataclass(frozen=True)
class Board:
    """One dataset, seen by one network, under one setting: the place of a leaderboard."""

    dataset: str
    setting: str

    @property
    def title(self) -> dict[str, str]:
        """Return what the board is about."""
        title = {"Dataset": self.dataset}
        return title if self.setting == names.NO_SETTING else title | {"imbalance": self.setting}

    def of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a frame that belong here."""
        return frame[(frame["dataset"] == self.dataset) & (frame["setting"] == self.setting)]


@dataclass(frozen=True)
class Place:
    """A board, and what is known of its runs whatever the criterion.

    ``fixed``: the overrides that all its runs share, "batch_size=4".
    """

    board: Board
    algorithms: list[str]
    domains: list[str]
    info: SplitInfo
    states: RunStates
    fixed: str


@dataclass(frozen=True)
class View:
    """A place under one criterion."""

    place: Place
    selected: pd.DataFrame
    title: dict[str, str]
    behind: RunsBehind

    @property
    def envs(self) -> list[int]:
        """Return the test domains that any algorithm has a figure for; all, if none has."""
        there: list[int] = sorted(self.selected["test_env"].unique().tolist())
        return there or list(range(len(self.place.domains)))

    def measure_rows(
        self, metrics: Sequence[str], algorithms: Sequence[str] | None = None
    ) -> list[Row]:
        """Return algorithms (by default those of the place) x measures over the test domains."""
        return tables.measure_rows(
            self.selected,
            self.place.algorithms if algorithms is None else algorithms,
            self.envs,
            metrics,
            self.behind,
            lambda algorithm: self.behind.lacking(self.selected, algorithm, self.envs),
        )


@dataclass
class Leaderboards:
    """All tables of one criterion, and the records that it chose."""

    criterion: str
    selected: pd.DataFrame
    views: list[View] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def boards_of(runs: pd.DataFrame) -> list[Board]:
    """Return the (data set, setting) pairs there are, in the order of tables."""
    pairs = set(runs[["dataset", "setting"]].drop_duplicates().itertuples(index=False, name=None))
    datasets = names.ordered_datasets(dataset for dataset, _ in pairs)
    settings = names.ordered(sorted(setting for _, setting in pairs), names.SETTINGS)
    return [Board(d, s) for s in settings for d in datasets if (d, s) in pairs]


def places_of(runs: pd.DataFrame, records: pd.DataFrame) -> list[Place]:
    """Return every board of ``runs`` with what is known of it."""
    return [_place(board, board.of(runs), records) for board in boards_of(runs)]


def _place(board: Board, runs: pd.DataFrame, records: pd.DataFrame) -> Place:
    info = split_info(runs)
    domains = names.environment_names(board.dataset, int(runs["n_envs"].max()), info.environments)
    return Place(
        board=board,
        algorithms=names.ordered_algorithms(map(str, runs["algorithm"].unique())),
        domains=domains or names.environment_names(board.dataset, 1 + _last_target(runs)),
        info=info,
        states=RunStates(runs, lambda: board.of(records)),
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

    For every setting: for every data set algorithms x domains and, if the split is imbalanced,
    algorithms x measures; then the averages over the data sets, by network. ``records`` is
    ``sweep.frame()``, if it is at hand. ``metrics``: the measures to show, and to show by domain;
    by default all, and the overall accuracy by domain.

    Raises InputError for an unknown criterion or measure.
    """
    for metric in metrics or ():
        if metric not in names.METRICS:
            raise unknown_name("measure", metric, names.METRICS)
    frame = sweep.frame() if records is None else records
    places = places_of(sweep.runs, frame)
    made = []
    for criterion in criteria:
        result = Leaderboards(criterion, select(frame, criterion, partial=partial))
        result.views = [
            _view(place, result, partial)
            for place in places
            if _applies(place.board, frame, criterion)
        ]
        for setting in dict.fromkeys(view.place.board.setting for view in result.views):
            here = [view for view in result.views if view.place.board.setting == setting]
            result.tables += _setting_tables(here, metrics)
        made.append(result)
    return made


def _view(place: Place, result: Leaderboards, partial: bool) -> View:
    return View(
        place=place,
        selected=place.board.of(result.selected),
        title={**place.board.title, SELECTION: CRITERIA[result.criterion].title},
        behind=RunsBehind(place.states, place.domains, result.criterion, partial),
    )


def _setting_tables(views: Sequence[View], metrics: Sequence[str] | None) -> list[Table]:
    made = [table for view in views for table in _board_tables(view, metrics)]
    networks = [network_in(view.place.board.dataset) for view in views]
    for network in dict.fromkeys(networks):  # an average is never over several networks
        here = [view for view, its in zip(views, networks, strict=True) if its == network]
        if any(len(view.selected) for view in here):
            made += [_averages(here, network, metric) for metric in metrics or ("overall",)]
    return made


def _board_tables(view: View, metrics: Sequence[str] | None) -> list[Table]:
    if view.selected.empty:  # one table is enough to say why
        return [_by_domain(view, "overall")]
    made = [_by_domain(view, metric) for metric in metrics or ("overall",)]
    has_zero = bool(view.selected["zero"].notna().any())
    shown = [name for name in metrics or names.METRICS if name != "zero" or has_zero]
    if shown and (view.place.board.setting != names.NO_SETTING or _has_groups(view.selected)):
        made.append(_measures(view, shown))
    return made


def _applies(board: Board, frame: pd.DataFrame, criterion: str) -> bool:
    """Whether a table is worth showing: the balanced criterion is for imbalanced splits only."""
    if criterion != "balanced" or board.setting != names.NO_SETTING:
        return True
    columns = [name for name in frame.columns if name.endswith("_val_acc")]
    return bool(columns) and bool(board.of(frame)[columns].notna().to_numpy().any())


def _titled(title: dict[str, str], metric: str) -> dict[str, str]:
    return title if metric == "overall" else {**title, "measure": names.METRIC_TITLES[metric]}


def _by_domain(view: View, metric: str) -> Table:
    place = view.place
    rows = tables.domain_rows(
        view.selected, place.algorithms, len(place.domains), metric, view.behind
    )
    return Table("domains", _titled(view.title, metric), [*place.domains, AVERAGE], rows)


def _has_groups(selected: pd.DataFrame) -> bool:
    return bool(selected[["many", "medium", "few", "zero"]].notna().to_numpy().any())


def _measures(view: View, metrics: Sequence[str]) -> Table:
    place = view.place
    return Table(
        "measures",
        {**view.title, "measures": "shot groups"},
        [names.METRIC_TITLES[metric] for metric in metrics],
        view.measure_rows(metrics),
        head=[
            f"Mean over the test domains {_listed(view)}",
            *place.info.threshold_lines(place.domains),
        ],
    )


def _averages(views: Sequence[View], network: str, metric: str) -> Table:
    title = {key: name for key, name in views[0].title.items() if key != "Dataset"}
    if network:
        title = {"network": network, **title}
    algorithms = names.ordered_algorithms(name for view in views for name in view.place.algorithms)
    return Table(
        "averages",
        _titled({"Averages": "", **title}, metric),
        [*(view.place.board.dataset for view in views), AVERAGE],
        tables.average_rows([view.measure_rows([metric], algorithms) for view in views]),
        notes=[line for view in views for line in _not_averaged(view)],
    )


def _not_averaged(view: View) -> list[str]:
    """Say which domains and trials of a data set are not in its averages."""
    dataset = view.place.board.dataset
    lines = []
    if len(view.envs) < len(view.place.domains):
        lines.append(f"{dataset}: average of {_listed(view)} only")
    counts = view.selected.groupby(["algorithm", "trial_seed"], observed=True)["test_env"].nunique()
    alike: dict[str, list[str]] = {}
    for algorithm, whole in (counts.unstack(fill_value=0) == len(view.envs)).iterrows():
        without = whole.index[~whole]
        if whole.any() and len(without):
            alike.setdefault(", ".join(map(str, without)), []).append(str(algorithm))
    if alike:
        trials = "; ".join(f"{some} of {', '.join(of)}" for some, of in alike.items())
        lines.append(f"{dataset}: without the trials that lack a test domain: {trials}")
    return lines


def _listed(view: View) -> str:
    return ", ".join(view.place.domains[env] for env in view.envs)
