"""What was read, in a few lines: the head of every page of tables."""

from __future__ import annotations

from collections import Counter

from ndcl_domainbed.results.folders import DONE, FAILED, UNFINISHED, WAITING
from ndcl_domainbed.results.reading import Sweep

MEANING = (
    "Accuracy in percent; +/- is the standard error over trials "
    "(standard deviation / root of their number)."
)


def head(sweep: Sweep, *, partial: bool = False) -> list[str]:
    """Return the lines above the tables: counts of records and runs, what was left out."""
    lines = [f"Total records: {len(sweep.records)}", runs_line(sweep, partial=partial)]
    return [*lines, MEANING]


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
        parts.append(
            f"{sum(sweep.bad_lines.values())} unreadable lines in {len(sweep.bad_lines)} files"
        )
    return f"Runs: {', '.join(parts)}."


def left_out(sweep: Sweep) -> list[str]:
    """Name everything that is not in the tables: a line each."""
    lines = [f"{path}: {count} unreadable lines" for path, count in sweep.bad_lines.items()]
    lines += [f"{folder}: no record" for folder in sweep.empty]
    others = sweep.runs[sweep.runs["state"] != DONE]
    for folder, state, reason in zip(others["run"], others["state"], others["reason"], strict=True):
        lines.append(f"{folder}: {state}{f' ({reason})' if reason else ''}")
    return lines
