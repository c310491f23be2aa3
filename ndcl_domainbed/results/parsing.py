"""One ``results.jsonl``, in bytes, to columns of numbers.

A record is one JSON object a line. Only what tables need is kept: the accuracies of every split,
and for the target domain of a run its shot groups and its per-class accuracies in two figures
(balanced: the mean, worst: the least). The rest can be read again from the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np
import orjson

from imbalance_splits.shots import RECORD_SUFFIXES
from ndcl_domainbed.results.identity import is_whole

_ACCURACY = re.compile(r"env(\d+)_(?:in|out|val|uda)_acc")
PLAIN_KEYS = ("step", "epoch", "step_time", "mem_gb")
"""What a record has once, and not for every domain and split."""

_NUMBER = (int, float)
_CLASS_ACC = re.compile(rb'"class_acc": ?\{')
_GETTERS: dict[tuple[object, ...], tuple[tuple[str, ...], Callable[[Any], Any]]] = {}


@dataclass
class ParsedRun:
    """The records of one run: what it was asked to do, and a matrix (records, columns)."""

    meta: dict[str, Any]
    columns: tuple[str, ...]
    values: np.ndarray


@dataclass
class ParsedFile:
    """What one file holds: its runs (several, if they shared a folder) and its bad lines."""

    runs: list[ParsedRun] = field(default_factory=list)
    bad_lines: int = 0


@dataclass
class _Open:
    """A run while its lines are read; ``rows`` by the columns that they have."""

    args: dict[str, Any]
    meta: dict[str, Any]
    target: int | None
    rows: list[tuple[tuple[str, ...], tuple[Any, ...]]] = field(default_factory=list)


def parse(data: bytes) -> ParsedFile:
    """Parse the content of a ``results.jsonl``.

    A line that is no record (torn by a kill, corrupt, foreign) is counted and passed over.
    """
    parsed = ParsedFile()
    current: _Open | None = None
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        record, class_acc = _read(line)
        if not isinstance(record, dict) or type(record.get("step")) not in _NUMBER:
            parsed.bad_lines += 1
            continue
        if current is None or record.get("args") != current.args:
            if not is_whole(record.get("args")):
                parsed.bad_lines += 1
                continue
            _close(current, parsed)
            current = _begin(record)
        names, get = _getter(record, current.target)
        per_class = _balanced_and_worst(class_acc, current.target) if class_acc else (None, None)
        current.rows.append((names, get(record) + per_class))
    _close(current, parsed)
    return parsed


def _read(line: bytes) -> tuple[Any, bytes]:
    """Return the record without its ``class_acc``, and that one's bytes.

    ``class_acc`` can be most of a line (domains x splits x classes numbers), so it is cut out
    before parsing; only the target's list is parsed later.
    """
    if b'"class_acc"' not in line:
        return _loads(line), b""
    start = _CLASS_ACC.search(line)
    end = line.find(b"}", start.end()) if start else -1
    if start is None or end < 0:
        return _loads(line), b""
    return _loads(line[: start.end()] + line[end:]), line[start.end() : end]


def _balanced_and_worst(lists: bytes, target: int | None) -> tuple[float | None, float | None]:
    """Return mean and least of the target's accuracies by class; lists: ``"env0_in": [...]``."""
    key = f'"env{target}_in":'.encode()
    at = lists.find(key)
    end = lists.find(b"]", at)
    if at < 0 or end < 0:
        return None, None
    values = _loads(lists[at + len(key) : end + 1])
    if not isinstance(values, list):
        return None, None
    known = [value for value in values if isinstance(value, int | float) and value == value]
    return (sum(known) / len(known), min(known)) if known else (None, None)


def _loads(text: bytes) -> Any:
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


def _begin(record: dict[str, Any]) -> _Open:
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
    return _Open(args, meta, test_envs[0] if len(test_envs) == 1 else None)


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


def _close(run: _Open | None, parsed: ParsedFile) -> None:
    """Turn the rows of a run into one matrix; where a record lacks a column, it is NaN."""
    if run is None:
        return
    columns = tuple(dict.fromkeys(name for names in {row[0] for row in run.rows} for name in names))
    rows = [
        values if names == columns else _widened(names, values, columns)
        for names, values in run.rows
    ]
    matrix, bad = _matrix(rows)
    parsed.bad_lines += bad
    if len(matrix):
        parsed.runs.append(ParsedRun(run.meta, columns, matrix))


def _widened(
    names: tuple[str, ...], values: tuple[Any, ...], columns: tuple[str, ...]
) -> tuple[Any, ...]:
    given = dict(zip(names, values, strict=True))
    return tuple(given.get(name) for name in columns)


def _matrix(rows: Sequence[tuple[Any, ...]]) -> tuple[np.ndarray, int]:
    """Return the rows as float64 (null is NaN) and how many held something else than numbers."""
    try:
        return np.array(rows, dtype=np.float64), 0
    except (TypeError, ValueError):
        good = [row for row in rows if all(v is None or type(v) in (int, float) for v in row)]
        width = len(rows[0])
        return np.array(good, dtype=np.float64).reshape(-1, width), len(rows) - len(good)
