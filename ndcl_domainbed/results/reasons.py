"""What is behind a cell of a table: how many runs, and why there is no figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from ndcl_domainbed.results.selection import CRITERIA
from ndcl_domainbed.results.tables import NO_CLASS, Missing
from ndcl_domainbed.run_folder import DONE, FAILED, NOT_STARTED, UNFINISHED

_LOOKS_AT = {"training": "out", "oracle": "out", "balanced": "val"}
"""Criterion -> the split whose accuracies in a run itself it looks at."""


class RunStates:
    """How many runs of one data set and setting there are, and how far they have come.

    ``records`` gives their records; it is called where a figure is missing though runs are done.
    """

    def __init__(self, runs: pd.DataFrame, records: Callable[[], pd.DataFrame]) -> None:
        keys = ["algorithm", "test_envs", "state"]
        self.counts: dict[tuple[str, frozenset[int]], Counter[str]] = {}
        for key, count in runs.groupby(keys, observed=True).size().to_dict().items():
            algorithm, text, state = (str(part) for part in key)  # type: ignore[attr-defined]
            envs = frozenset(map(int, text.split()))
            self.counts.setdefault((algorithm, envs), Counter())[state] += count
        failed = runs[runs["state"] == FAILED]
        self.why = dict(zip(failed["algorithm"], failed["reason"], strict=True))
        self._records = records

    def numbers(self, algorithm: str, env: int, partial: bool) -> set[str]:
        """Return the accuracies that are a number in any record of these runs.

        ``partial``: whether runs that are not done count.
        """
        known = self._known.get((algorithm, env, True), set())
        return known | self._known.get((algorithm, env, False), set()) if partial else known

    @cached_property
    def splits(self) -> set[str]:
        """The splits, such as "in", that any record has an accuracy of."""
        return {name.split("_")[1] for names in self._known.values() for name in names}

    @cached_property
    def _known(self) -> dict[tuple[str, int, bool], set[str]]:
        """Algorithm, test domain, whether done -> accuracies that are a number in any record."""
        records = self._records()
        names = [name for name in records.columns if name.endswith("_acc")]
        keys = [records[name] for name in ("algorithm", "test_env", "done")]
        known = records[names].notna().groupby(keys, observed=True).any()
        return {
            (str(algorithm), int(env), bool(done)): set(known.columns[row])
            for (algorithm, env, done), row in zip(known.index, known.to_numpy(), strict=True)
        }


@dataclass(frozen=True)
class RunsBehind:
    """The runs that a criterion looks at; ``partial``: whether those not done count."""

    there: RunStates
    domains: list[str]
    criterion: str
    partial: bool

    def runs(self, algorithm: str, env: int) -> int:
        """Return how many runs the choice was made among."""
        if self.criterion != "leave_one_out":
            return self._counted(algorithm, {env})
        keys = [envs for name, envs in self.there.counts if name == algorithm and env in envs]
        return sum(self._counted(algorithm, envs) for envs in keys)

    def _counted(self, algorithm: str, envs: Iterable[int]) -> int:
        states = self.there.counts.get((algorithm, frozenset(envs)), Counter())
        return states.total() - states[NOT_STARTED] if self.partial else states[DONE]

    def reason(self, algorithm: str, env: int, metric: str | None) -> str:
        """Say why there is no figure; ``metric`` if a record was chosen and only lacks that."""
        if metric is not None:
            return NO_CLASS
        states = self.there.counts.get((algorithm, frozenset((env,))))
        if states is None:
            return "no run with this test domain alone"
        if not (states[DONE] or (self.partial and states[UNFINISHED])):
            return self._unfinished(algorithm, states)
        lacking = self._no_number(algorithm, env)
        if lacking:
            return f"{', '.join(lacking)}: missing or no number in every record"
        if self.criterion == "leave_one_out":
            return self._pairs(algorithm, env)
        return f"the criterion needs {CRITERIA[self.criterion].needs}"

    def _no_number(self, algorithm: str, env: int) -> list[str]:
        """Return which accuracies that a figure takes are a number in no record of its runs.

        Where no run at all has one of a kind, runs of that kind are what is missing.
        """
        asked = [f"env{env}_in_acc"]
        split = _LOOKS_AT.get(self.criterion)
        if split in self.there.splits:
            others = (i for i in range(len(self.domains)) if i != env)
            envs = [env] if self.criterion == "oracle" else others
            asked += [f"env{i}_{split}_acc" for i in envs]
        known = self.there.numbers(algorithm, env, self.partial)
        return [name for name in asked if name not in known]

    def lacking(self, selected: pd.DataFrame, algorithm: str, envs: Sequence[int]) -> Missing:
        """Return which of ``envs`` lack a figure, in any trial, and why; those alike together.

        ``selected``: the chosen records of this data set and setting.
        """
        mine = selected[selected["algorithm"] == algorithm]
        trials = set(mine["trial_seed"])
        alike: dict[str, list[str]] = {}
        for env in envs:
            here = mine[mine["test_env"] == env]
            without = sorted(trials.difference(here["trial_seed"]))
            if here.empty:
                reason = self.reason(algorithm, env, None)
            elif without:
                reason = self._some_trials(algorithm, env, without)
            else:
                continue
            alike.setdefault(reason, []).append(self.domains[env])
        return tuple((", ".join(domains), reason) for reason, domains in alike.items())

    def _some_trials(self, algorithm: str, env: int, trials: Sequence[int]) -> str:
        """Return "nothing in trial 0, 2"; with the runs that are not done, if there are any."""
        states = self.there.counts.get((algorithm, frozenset((env,))), Counter())
        unfinished = self._unfinished(algorithm, states)
        text = f"nothing in trial {', '.join(map(str, trials))}"
        return f"{text}, {unfinished}" if unfinished else text

    def _pairs(self, algorithm: str, env: int) -> str:
        sources = [i for i in range(len(self.domains)) if i != env]
        missing = [i for i in sources if not self._counted(algorithm, (env, i))]
        if len(missing) == len(sources):
            return f"the criterion needs {CRITERIA[self.criterion].needs}"
        if missing:
            pairs = ", ".join(f"{self.domains[env]}+{self.domains[i]}" for i in missing)
            return f"no finished run with the pair of test domains {pairs}"
        return "no step of one draw and trial has an accuracy for every pair of test domains"

    def _unfinished(self, algorithm: str, states: Counter[str]) -> str:
        """Return "2 runs unfinished, 1 run failed (the reason)"."""
        parts = []
        for state in (NOT_STARTED, UNFINISHED, FAILED):
            if states[state]:
                why = f" ({self.there.why[algorithm]})" if state == FAILED else ""
                parts.append(f"{states[state]} run{'s' * (states[state] > 1)} {state}{why}")
        return ", ".join(parts)
