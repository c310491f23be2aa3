"""A board: one dataset, seen by one network, under one setting, and what is known of its runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import pandas as pd

from imbalance_splits.settings import parse_setting
from ndcl_domainbed.results import names, tables
from ndcl_domainbed.results.labels import is_single_source, without_folders
from ndcl_domainbed.results.reading import TRIED_OUT
from ndcl_domainbed.results.selection import CRITERIA
from ndcl_domainbed.results.splits import SplitInfo, domain_names, split_info
from ndcl_domainbed.results.tables import SELECTION, CellSource, Row
from ndcl_domainbed.run_folder import DONE, FAILED, NOT_STARTED, STOPPED, UNFINISHED


class RunIndex:
    """How many runs of one dataset and setting there are, and how far they have come."""

    def __init__(self, runs: pd.DataFrame) -> None:
        keys = ["algorithm", "test_env", "test_envs", "state"]
        self._sizes: dict[Any, int] = runs.groupby(keys, observed=True).size().to_dict()
        failed = runs[runs["state"] == FAILED]
        self._failures = {
            (row.algorithm, row.test_env): without_folders(str(row.reason))
            for row in failed.itertuples()
        }

    def count_states(self, algorithm: str, env: int, other: int | None = None) -> Counter[str]:
        """Return state -> how many runs of the cell are in it.

        With ``other``: how many have exactly these two test domains.
        """
        pair = (f"{env} {other}", f"{other} {env}")
        found: Counter[str] = Counter()
        for (name, test_env, text, state), count in self._sizes.items():
            if name == algorithm and (test_env == env if other is None else text in pair):
                found[state] += count
        return found

    def describe_unfinished(self, algorithm: str, env: int) -> str:
        """Return "2 runs unfinished, 1 run failed (the reason)"; empty if all are done."""
        states = self.count_states(algorithm, env)
        parts = []
        for state in (NOT_STARTED, UNFINISHED, TRIED_OUT, STOPPED, FAILED):
            if states[state]:
                why = f" ({self._failures[algorithm, env]})" if state == FAILED else ""
                parts.append(f"{states[state]} run{'s' * (states[state] > 1)} {state}{why}")
        return ", ".join(parts)


@dataclass(frozen=True)
class Board(CellSource):
    """A board and, once a criterion was applied, the records that this has chosen for it.

    ``fixed``: the overrides that all its runs share, "batch_size=4". ``partial``: whether runs
    that are not done count. ``control``: the board of the same size without imbalance, if any.
    """

    dataset: str
    setting: str
    algorithms: list[str]
    domains: list[str]
    info: SplitInfo
    index: RunIndex
    fixed: str
    criterion: str = ""
    partial: bool = False
    selected: pd.DataFrame = field(default_factory=pd.DataFrame)
    control: Board | None = None

    def select(self, criterion: str, selected: pd.DataFrame, partial: bool) -> Board:
        """Return the board with those of the records ``selected`` by a criterion that are its."""
        mine = board_rows(selected, self.dataset, self.setting)
        return replace(self, criterion=criterion, selected=mine, partial=partial)

    @property
    def title(self) -> dict[str, str]:
        """Return what the tables of the board are about."""
        setting = {} if self.setting == names.NO_SETTING else {"imbalance": self.setting}
        return {"Dataset": self.dataset, **setting, SELECTION: CRITERIA[self.criterion].title}

    @property
    def envs(self) -> list[int]:
        """Return the test domains that any algorithm has a figure for; all, if none has."""
        return tables.tested_envs(self.selected, len(self.domains))

    @property
    def envs_text(self) -> str:
        """Return "the test domains A, C": what averages are over."""
        kind = "sources" if is_single_source(self.dataset) else "test domains"
        return f"the {kind} {', '.join(self.domains[env] for env in self.envs)}"

    def domain_rows(self, metric: str) -> list[Row]:
        """Return algorithms x domains."""
        return tables.domain_rows(self.selected, self.algorithms, len(self.domains), metric, self)

    def measure_rows(
        self, metrics: Sequence[str], algorithms: Sequence[str] | None = None
    ) -> list[Row]:
        """Return algorithms (by default those of the board) x measures over the test domains."""
        rows = self.algorithms if algorithms is None else algorithms
        return tables.measure_rows(self.selected, rows, self.envs, metrics, self)

    def lost_rows(self) -> list[Row]:
        """Return algorithms x what they lose to imbalance; empty without a control."""
        if self.control is None:
            return []
        return tables.lost_rows(self.control.selected, self.selected, self.algorithms, self.envs)

    def lost_lines(self) -> list[str]:
        """Return a sentence on what is lost to imbalance; none without a control."""
        if self.control is None:
            return []
        return [
            f"{tables.LOST}: overall accuracy under {self.control.setting}, as many training "
            "images spread evenly, minus that here, in points; less is better"
        ]

    def average_notes(self) -> list[str]:
        """Return which domains and trials are not in the averages."""
        lines = []
        if len(self.envs) < len(self.domains):
            lines.append(f"averages are over {self.envs_text} only")
        is_whole = tables.is_whole_trial(self.selected, self.envs)
        keys = ["algorithm", "trial_seed"]
        left_out = self.selected[~is_whole][keys].drop_duplicates()
        shown = set(self.selected["algorithm"][is_whole])
        trials = [
            f"{', '.join(map(str, sorted(mine)))} of {algorithm}"
            for algorithm, mine in left_out.groupby("algorithm", observed=True)["trial_seed"]
            if algorithm in shown
        ]
        if trials:
            lines.append(f"averages are without trials that lack a domain: {'; '.join(trials)}")
        return lines

    def count_runs(self, algorithm: str, env: int) -> int:
        """Return how many runs the choice was made among, those that were stopped early too."""
        count = self._count(algorithm, env)
        if self.criterion == "leave_one_out":
            count += sum(self._count(algorithm, env, other) for other in self._sources(env))
        return count

    def _count(self, algorithm: str, env: int, other: int | None = None) -> int:
        states = self.index.count_states(algorithm, env, other)
        started = states.total() - states[NOT_STARTED]
        return started if self.partial else states[DONE] + states[STOPPED]

    def _sources(self, env: int) -> list[int]:
        return [other for other in range(len(self.domains)) if other != env]

    def reason(self, algorithm: str, env: int) -> str:
        """Return why no record was chosen."""
        states = self.index.count_states(algorithm, env)
        if not states:
            return "no run with this test domain alone"
        if not (states[DONE] or (self.partial and (states[UNFINISHED] or states[TRIED_OUT]))):
            return self.index.describe_unfinished(algorithm, env)
        if self.criterion == "leave_one_out" and not is_single_source(self.dataset):
            missing = [i for i in self._sources(env) if not self._count(algorithm, env, i)]
            pairs = ", ".join(f"{self.domains[env]}+{self.domains[i]}" for i in missing)
            if not missing:
                return "no step of one draw and trial has an accuracy for every pair"
            if len(missing) < len(self._sources(env)):
                return f"no finished run with the pair of test domains {pairs}"
        needs = CRITERIA[self.criterion].needs
        return f"no record has env_in_acc of the test domain and what the criterion needs: {needs}"


def board_rows(frame: pd.DataFrame, dataset: str, setting: str) -> pd.DataFrame:
    """Return the rows of a frame that belong to one dataset and setting."""
    return frame[(frame["dataset"] == dataset) & (frame["setting"] == setting)]


def add_controls(boards: Sequence[Board]) -> list[Board]:
    """Return the boards, each with its control among them: under ``Balanced:like=SETTING``."""
    controls = {}
    for board in boards:
        if board.setting.startswith("Balanced:"):
            _, parameters = parse_setting(board.setting)
            if list(parameters) == ["like"]:
                controls[board.dataset, parameters["like"]] = board
    return [replace(one, control=controls.get((one.dataset, one.setting))) for one in boards]


def index_boards(runs: pd.DataFrame) -> list[Board]:
    """Return every board of ``runs``, in the order of tables."""
    pairs = set(runs[["dataset", "setting"]].drop_duplicates().itertuples(index=False, name=None))
    datasets = names.ordered_datasets(dataset for dataset, _ in pairs)
    settings = names.order(sorted(setting for _, setting in pairs), names.SETTINGS)
    boards = []
    for setting, dataset in product(settings, datasets):
        if (dataset, setting) in pairs:
            mine = board_rows(runs, dataset, setting)
            info = split_info(mine)
            rows = names.ordered_algorithms(map(str, mine["algorithm"].unique()))
            domains, fixed = domain_names(mine, info), str(mine["fixed"].iloc[0])
            boards.append(Board(dataset, setting, rows, domains, info, RunIndex(mine), fixed))
    return boards
