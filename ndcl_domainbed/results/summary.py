"""What was read, in a few lines: the head of every page of tables."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ndcl_domainbed.results.legend import page_legend
from ndcl_domainbed.results.names import NO_SETTING
from ndcl_domainbed.results.reading import TRIED_OUT, Sweep
from ndcl_domainbed.run_folder import DONE, FAILED, NOT_STARTED, STOPPED, UNFINISHED

MEANING = (
    "Accuracy in percent; +/- is the standard error over trials "
    "(population standard deviation / square root of their number; a single trial has none); "
    "(n=2): over fewer trials than other figures of its table."
)


def head(sweep: Sweep, *, partial: bool = False) -> list[str]:
    """Return the lines above the tables: counts of records and runs, what names mean."""
    legend = page_legend(sweep.runs)
    sweep = sweep.without_variants()
    lines = [f"Total records: {len(sweep.records)}", runs_line(sweep, partial=partial)]
    lines += describe_stopped(sweep)
    keys = ["dataset", "setting", "algorithm", "test_envs", "trial_seed", "hparams_seed"]
    repeated = sweep.runs[sweep.runs["state"] == DONE].duplicated(keys).sum()
    if repeated:
        lines.append(
            f"{repeated} of them repeat the dataset, algorithm, test domains, trial and draw of "
            "another; whichever validates best counts."
        )
    if sweep.bad_records:
        lines.append(
            f"Warning: {_count_impossible(sum(sweep.bad_records.values()))}, which counts as "
            "missing; --verbose names the files."
        )
    return [*lines, *no_record(sweep), MEANING, *legend]


def describe_stopped(sweep: Sweep) -> list[str]:
    """Return a line on the draws that were stopped early, if there are any."""
    stopped = sweep.runs.index[sweep.runs["state"] == STOPPED]
    if stopped.empty:
        return []
    last = sweep.records.groupby("run")["step"].max()
    steps = ", ".join(f"{step:g}" for step in sorted(set(last.reindex(stopped).dropna())))
    return [
        f"{len(stopped)} of {len(sweep.runs)} draws stopped early, at step {steps}: "
        "they count as draws and are never chosen."
    ]


def no_record(sweep: Sweep) -> list[str]:
    """Return a line on how far the runs are, if there is no record at all."""
    if len(sweep.records):
        return []
    states = Counter(map(str, sweep.runs["state"]))
    parts = [_count_runs(count, state) for state, count in states.items()]
    return [f"No record yet: {', '.join(parts) or 'there is no such run'}."]


def _is_counted(sweep: Sweep, partial: bool) -> np.ndarray:
    """Return of every run whether tables count it: if it is done; if ``partial``, by a record."""
    done = (sweep.runs["state"] == DONE).to_numpy()
    has_record = np.isin(np.arange(len(done)), sweep.records["run"])
    return done | (has_record & (sweep.runs["state"] != STOPPED)) if partial else done


def runs_line(sweep: Sweep, *, partial: bool = False) -> str:
    """Return how many runs are done, and how many others are counted or left out."""
    states = Counter(map(str, sweep.runs["state"]))
    counted = Counter(map(str, sweep.runs["state"][_is_counted(sweep, partial)]))
    parts = [f"{states[DONE]} done"]
    for state in (TRIED_OUT, UNFINISHED, STOPPED, FAILED):
        total, within = states[state], counted[state]
        if total:
            verdict = "counted" if within else "left out"
            if 0 < within < total:
                verdict = f"{within} counted, {total - within} left out"
            parts.append(f"{total} {state} ({verdict})")
    if states[NOT_STARTED]:
        parts.append(f"{states[NOT_STARTED]} {NOT_STARTED}")
    if sweep.empty:
        parts.append(f"{len(sweep.empty)} without a record")
    if sweep.bad_lines:
        parts.append(_count_unreadable(sum(sweep.bad_lines.values())))
    return f"Runs: {', '.join(parts)}."


def _count_unreadable(count: int) -> str:
    return f"{count} unreadable line{'s' * (count > 1)}"


def _count_impossible(count: int) -> str:
    who = f"{count} records have" if count > 1 else "1 record has"
    return f"{who} an accuracy that is NaN, below 0 or above 1"


def left_out(sweep: Sweep, *, partial: bool = False) -> list[str]:
    """Name everything that is not in the tables, a line each; runs not started a line a group."""
    sweep = sweep.without_variants()
    lines = [f"{path}: {_count_unreadable(count)}" for path, count in sweep.bad_lines.items()]
    lines += [f"{path}: {_count_impossible(n)}" for path, n in sweep.bad_records.items()]
    lines += [f"{folder}: no record" for folder in sweep.empty]
    others = sweep.runs[~_is_counted(sweep, partial)]
    waiting = others["state"] == NOT_STARTED
    names = others.loc[waiting, ["algorithm", "dataset", "setting"]].astype(str)
    for (algorithm, dataset, setting), count in Counter(names.itertuples(False, None)).items():
        under = "" if setting == NO_SETTING else f" under {setting}"
        lines.append(f"{algorithm} on {dataset}{under}: {_count_runs(count, NOT_STARTED)}")
    left = others.loc[~waiting, ["run", "state", "reason"]].astype(str)
    for folder, state, reason in left.itertuples(False, None):
        lines.append(f"{folder}: {state}{f' ({reason})' if reason else ''}")
    return lines


def _count_runs(count: int, state: str) -> str:
    return f"{count} run{'s' * (count > 1)} {state}"
