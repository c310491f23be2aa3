"""What was read, in a few lines: the head of every page of tables."""

from __future__ import annotations

from collections import Counter

from ndcl_domainbed.results.folders import DONE, FAILED, UNFINISHED, WAITING
from ndcl_domainbed.results.reading import Sweep

MEANING = (
    "Accuracy in percent; +/- is the standard error over trials "
    "(standard deviation / root of their number; 0.0 for a single trial)."
)


def head(sweep: Sweep, *, partial: bool = False) -> list[str]:
    """Return the lines above the tables: counts of records and runs, what was left out."""
    lines = [f"Total records: {len(sweep.records)}", runs_line(sweep, partial=partial)]
    repeated = _repeated(sweep)
    if repeated:
        lines.append(
            f"{repeated} of them repeat the data set, algorithm, test domains, trial and draw of "
            "another; whichever validates best counts."
        )
    return [*lines, MEANING]


def _repeated(sweep: Sweep) -> int:
    keys = ["dataset", "setting", "algorithm", "test_envs", "trial_seed", "hparams_seed"]
    done = sweep.runs[sweep.runs["state"] == DONE]
    return int(done.duplicated(keys).sum())


def runs_line(sweep: Sweep, *, partial: bool = False) -> str:
    """Return how many runs there are and what became of the others."""
    states = Counter(map(str, sweep.runs["state"]))
    parts = [f"{states[DONE]} done"]
    for state in (UNFINISHED, FAILED, WAITING):
        counted = " (counted)" if partial and state != WAITING else " (left out)"
        if states[state]:
            parts.append(f"{states[state]} {state}{'' if state == WAITING else counted}")
    if sweep.empty:
        parts.append(f"{len(sweep.empty)} without a record")
    if sweep.bad_lines:
        parts.append(_unreadable(sum(sweep.bad_lines.values())))
    return f"Runs: {', '.join(parts)}."


def _unreadable(count: int) -> str:
    return f"{count} unreadable line{'s' * (count > 1)}"


def left_out(sweep: Sweep) -> list[str]:
    """Name everything that is not in the tables: a line each."""
    lines = [f"{path}: {_unreadable(count)}" for path, count in sweep.bad_lines.items()]
    lines += [f"{folder}: no record" for folder in sweep.empty]
    others = sweep.runs[sweep.runs["state"] != DONE]
    for folder, state, reason in zip(others["run"], others["state"], others["reason"], strict=True):
        lines.append(f"{folder}: {state}{f' ({reason})' if reason else ''}")
    return lines
