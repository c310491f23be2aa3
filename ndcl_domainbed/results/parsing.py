"""One ``results.jsonl``, in bytes, to columns of numbers.

A record is one JSON object a line. Only what tables need is kept: the accuracies of every split,
and for the target domain of a run its shot groups and its accuracies by class.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from imbalance_splits.shots import RECORD_SUFFIXES
from ndcl_domainbed.results.identity import is_whole
from ndcl_domainbed.run_folder import RECORDS_FILE

_ACCURACY = re.compile(r"env(\d+)_(?:in|out|val|uda)_acc")
PLAIN_KEYS = ("step", "epoch", "step_time", "mem_gb")
"""What a record has once, and not for every domain and split."""

ClassAccuracies = list[float | None] | None
"""Accuracy by class: None for a class without an image; None where the record has no list."""

_GETTERS: dict[tuple[object, ...], tuple[tuple[str, ...], Callable[[Any], Any]]] = {}


@dataclass
class ParsedRun:
    """The records of one run: what it was asked to do, and a matrix (records, columns).

    ``by_class``: of every record the accuracies by class on the target's "in" split.
    """

    meta: dict[str, Any]
    columns: tuple[str, ...]
    values: np.ndarray
    by_class: list[ClassAccuracies]


@dataclass
class ParsedFile:
    """What one file holds: its runs (several, if they shared a folder) and its bad lines."""

    runs: list[ParsedRun] = field(default_factory=list)
    bad_lines: int = 0


@dataclass
class _Row:
    """The values of a record that are kept, and their columns."""

    columns: tuple[str, ...]
    values: tuple[Any, ...]
    by_class: ClassAccuracies


@dataclass
class _OpenRun:
    """A run while its lines are read."""

    args: dict[str, Any]
    meta: dict[str, Any]
    target: int | None
    rows: list[_Row] = field(default_factory=list)


def parse(data: bytes) -> ParsedFile:
    """Parse the content of a ``results.jsonl``.

    A line that is no record (torn by a kill, corrupt, foreign) is counted and skipped.
    """
    parsed = ParsedFile()
    current: _OpenRun | None = None
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        record = _parse_line(line)
        if not isinstance(record, dict) or type(record.get("step")) not in (int, float):
            parsed.bad_lines += 1
            continue
        if current is None or record.get("args") != current.args:
            if not is_whole(record.get("args")):
                parsed.bad_lines += 1
                continue
            _close_run(current, parsed)
            current = _open_run(record)
        current.rows.append(_read_row(record, current.target))
    _close_run(current, parsed)
    return parsed


def read_class_accuracies(folder: str, step: float, target: int) -> ClassAccuracies:
    """Return the target's "in" accuracies by class at ``step`` of the run in ``folder``.

    They are read when asked for: kept for all records, they would be most of the memory. None if
    the run has no such record, or no accuracies by class.
    """
    try:
        parsed = parse((Path(folder) / RECORDS_FILE).read_bytes())
    except OSError:
        return None
    for run in parsed.runs:
        steps = run.values[:, run.columns.index("step")].tolist()
        if run.meta["args"]["test_envs"] == [target] and step in steps:
            return run.by_class[steps.index(step)]
    return None


def _parse_line(text: bytes) -> Any:
    """Parse JSON; NaN and Infinity, which Python writes and the standard lacks, are read too."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        if b"NaN" not in text and b"Infinity" not in text:
            return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _open_run(record: dict[str, Any]) -> _OpenRun:
    args = record["args"]
    hparams = record.get("hparams")
    network = record.get("network")
    meta = {
        "args": args,
        "hparams": hparams if isinstance(hparams, dict) else {},
        "backend": record.get("backend"),
        "network": network if isinstance(network, dict) else {},
    }
    test_envs = args["test_envs"]
    return _OpenRun(args, meta, test_envs[0] if len(test_envs) == 1 else None)


def _read_row(record: dict[str, Any], target: int | None) -> _Row:
    columns, get = _getter(record, target)
    lists = record.get("class_acc")
    by_class = lists.get(f"env{target}_in") if isinstance(lists, dict) else None
    if not isinstance(by_class, list):
        return _Row(columns, (*get(record), None, None), None)
    known = [value for value in by_class if isinstance(value, int | float) and value == value]
    balanced, worst = (sum(known) / len(known), min(known)) if known else (None, None)
    return _Row(columns, (*get(record), balanced, worst), by_class)


def _getter(
    record: dict[str, Any], target: int | None
) -> tuple[tuple[str, ...], Callable[[Any], Any]]:
    """Return the columns that a record of these keys has, and what takes them from it."""
    shape = (target, *record)
    if shape not in _GETTERS:
        groups = {f"env{target}_in_{end}": metric for metric, end in RECORD_SUFFIXES.items()}
        wanted = {
            key: groups.get(key, key)
            for key in record
            if key in PLAIN_KEYS or key in groups or _ACCURACY.fullmatch(key)
        }
        get = itemgetter(*wanted) if len(wanted) > 1 else lambda r: (r["step"],)
        _GETTERS[shape] = (*wanted.values(), "balanced", "worst"), get
    return _GETTERS[shape]


def _close_run(run: _OpenRun | None, parsed: ParsedFile) -> None:
    """Turn the rows of a run into one matrix; where a record lacks a column, it is NaN."""
    if run is None:
        return
    columns = tuple(dict.fromkeys(name for names in {row.columns for row in run.rows}
                                  for name in names))  # fmt: skip
    rows = [row.values if row.columns == columns else _widen(row, columns) for row in run.rows]
    try:
        values = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError):
        good = [number for number, row in enumerate(rows) if _has_only_numbers(row)]
        parsed.bad_lines += len(rows) - len(good)
        values = np.array([rows[number] for number in good], dtype=np.float64)
        run.rows = [run.rows[number] for number in good]
    if run.rows:
        by_class = [row.by_class for row in run.rows]
        parsed.runs.append(ParsedRun(run.meta, columns, values, by_class))


def _has_only_numbers(values: Sequence[Any]) -> bool:
    return all(value is None or type(value) in (int, float) for value in values)


def _widen(row: _Row, columns: tuple[str, ...]) -> tuple[Any, ...]:
    given = dict(zip(row.columns, row.values, strict=True))
    return tuple(given.get(name) for name in columns)
