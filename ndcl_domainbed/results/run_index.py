"""The runs of a table's cells: how many there are, and why a cell has no figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from ndcl_domainbed.results.selection import CRITERIA
from ndcl_domainbed.results.tables import CellSource, Missing
from ndcl_domainbed.run_folder import DONE, FAILED, NOT_STARTED, UNFINISHED

_JUDGED_SPLITS = {"training": "out", "oracle": "out", "balanced": "val"}
"""Criterion -> the split whose accuracies in a run itself it judges by."""


class RunIndex:
    """How many runs of one dataset and setting there are, and how far they have come.

    ``records`` returns their records; it is called where a figure is missing though runs are done.
    """

    def __init__(self, runs: pd.DataFrame, records: Callable[[], pd.DataFrame]) -> None:
        keys = ["algorithm", "test_envs", "state"]
        self._states: dict[tuple[str, frozenset[int]], Counter[str]] = {}
        for key, count in runs.groupby(keys, observed=True).size().to_dict().items():
            algorithm, text, state = (str(part) for part in key)  # type: ignore[attr-defined]
            envs = frozenset(map(int, text.split()))
            self._states.setdefault((algorithm, envs), Counter())[state] += count
        failed = runs[runs["state"] == FAILED]
        self._failures = dict(zip(failed["algorithm"], failed["reason"], strict=True))
        self._records = records

    def states(self, algorithm: str, envs: Collection[int]) -> Counter[str]:
        """Return state -> how many runs with exactly these test domains are in it."""
        return self._states.get((algorithm, frozenset(envs)), Counter())

    def test_envs(self, algorithm: str, env: int) -> list[frozenset[int]]:
        """Return the sets of test domains of runs that have ``env`` among them."""
        return [envs for name, envs in self._states if name == algorithm and env in envs]

    def describe_unfinished(self, algorithm: str, env: int) -> str:
        """Return "2 runs unfinished, 1 run failed (the reason)"; empty if all are done."""
        states = self.states(algorithm, [env])
        parts = []
        for state in (NOT_STARTED, UNFINISHED, FAILED):
            if states[state]:
                why = f" ({self._failures[algorithm]})" if state == FAILED else ""
                parts.append(f"{states[state]} run{'s' * (states[state] > 1)} {state}{why}")
        return ", ".join(parts)

    def accuracies(self, algorithm: str, env: int, partial: bool) -> set[str]:
        """Return the accuracies that are a number in any record of these runs.

        ``partial``: whether runs that are not done count.
        """
        done, others = (self._known.get((algorithm, env, done), set()) for done in (True, False))
        return done | others if partial else done

    @cached_property
    def splits(self) -> set[str]:
        """The splits, such as "in", that any record has an accuracy on."""
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
class CriterionSource(CellSource):
    """The runs that a criterion chooses among; ``partial``: whether those not done count."""

    index: RunIndex
    domains: list[str]
    criterion: str
    partial: bool

    def runs(self, algorithm: str, env: int) -> int:
        """Return how many runs the choice was made among."""
        if self.criterion != "leave_one_out":
            return self._count(algorithm, {env})
        return sum(self._count(algorithm, envs) for envs in self.index.test_envs(algorithm, env))

    def _count(self, algorithm: str, envs: Collection[int]) -> int:
        states = self.index.states(algorithm, envs)
        return states.total() - states[NOT_STARTED] if self.partial else states[DONE]

    def reason(self, algorithm: str, env: int) -> str:
        """Return why no record was chosen."""
        states = self.index.states(algorithm, [env])
        if not states:
            return "no run with this test domain alone"
        if not (states[DONE] or (self.partial and states[UNFINISHED])):
            return self.index.describe_unfinished(algorithm, env)
        lacking = self._lacking_accuracies(algorithm, env)
        if lacking:
            return f"{', '.join(lacking)}: missing or no number in every record"
        pairs = self._lacking_pairs(algorithm, env) if self.criterion == "leave_one_out" else ""
        return pairs or f"the criterion needs {CRITERIA[self.criterion].needs}"

    def missing(self, selected: pd.DataFrame, algorithm: str, envs: Sequence[int]) -> Missing:
        """Return which of ``envs`` lack a figure, in any trial, and why; equal reasons together."""
        mine = selected[selected["algorithm"] == algorithm]
        trials = set(mine["trial_seed"])
        domains: dict[str, list[str]] = {}
        for env in envs:
            here = mine[mine["test_env"] == env]
            without = sorted(trials.difference(here["trial_seed"]))
            if here.empty:
                domains.setdefault(self.reason(algorithm, env), []).append(self.domains[env])
            elif without:
                parts = [f"nothing in trial {', '.join(map(str, without))}"]
                parts.append(self.index.describe_unfinished(algorithm, env))
                domains.setdefault(", ".join(filter(None, parts)), []).append(self.domains[env])
        return tuple((", ".join(names), reason) for reason, names in domains.items())

    def _lacking_accuracies(self, algorithm: str, env: int) -> list[str]:
        """Return the accuracies that a figure takes and that are a number in no record.

        Where no run at all has one of a kind, runs of that kind are what is missing.
        """
        needed = [f"env{env}_in_acc"]
        split = _JUDGED_SPLITS.get(self.criterion)
        if split in self.index.splits:
            sources = (i for i in range(len(self.domains)) if i != env)
            envs = [env] if self.criterion == "oracle" else sources
            needed += [f"env{i}_{split}_acc" for i in envs]
        known = self.index.accuracies(algorithm, env, self.partial)
        return [name for name in needed if name not in known]

    def _lacking_pairs(self, algorithm: str, env: int) -> str:
        """Return which pairs of test domains have no run; empty if none has one."""
        sources = [i for i in range(len(self.domains)) if i != env]
        missing = [i for i in sources if not self._count(algorithm, (env, i))]
        if len(missing) == len(sources):
            return ""
        if missing:
            pairs = ", ".join(f"{self.domains[env]}+{self.domains[i]}" for i in missing)
            return f"no finished run with the pair of test domains {pairs}"
        return "no step of one draw and trial has an accuracy for every pair of test domains"
