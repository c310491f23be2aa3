"""One ``results.jsonl``, in bytes, to columns of numbers.

A record is one JSON object a line. What tables need is kept: the accuracies of every split, and
on the test domains of a run the shot groups and the mean and the least over the classes. With
``details``, what an analysis may want too: losses and the accuracy by class.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import orjson

from imbalance_splits.shots import RECORD_SUFFIXES
from ndcl_domainbed.results.identity import is_attached, is_whole

ENVIRONMENT = re.compile(r"env(\d+)_")
PLAIN_KEYS = ("step", "epoch", "step_time", "mem_gb")
"""What a record has once, and not for every domain and split."""

CLASS = "class_acc."
"""Begins a column of ``details``: the number of a class, or its name, follows."""

F1 = "macro_f1"
WORST_VALIDATION = "val_worst"
"""The column of the lowest accuracy of a class on the validation splits, a mean over sources."""

_ACCURACY = re.compile(r"env(\d+)_(in|out|val|uda)_acc")


class ParsedRun(NamedTuple):
    """The records of one run: what it was asked to do, and its columns, all of one length.

    ``bad_records``: how many have an accuracy that is NaN or outside [0, 1]; it counts as missing.
    ``variant``: which of the run's evaluations (``--variants``) this is; empty for its own.
    """

    meta: dict[str, Any]
    columns: dict[str, np.ndarray]
    bad_records: int
    variant: str = ""

    @property
    def n_records(self) -> int:
        """The number of records."""
        return len(self.columns["step"])


@dataclass
class ParsedFile:
    """What one file holds: its runs (several, if they shared a folder) and its bad lines."""

    runs: list[ParsedRun] = field(default_factory=list)
    bad_lines: int = 0


class _Row(NamedTuple):
    """The values of a record that are kept, and their columns; ``is_bad``: an accuracy is NaN."""

    columns: tuple[str, ...]
    values: tuple[Any, ...]
    is_bad: bool


def parse(data: bytes, *, details: bool = False) -> ParsedFile:
    """Parse the content of a ``results.jsonl``.

    A line that is no record (torn by a kill, corrupt, foreign) is counted and skipped.
    """
    parsed = ParsedFile()
    first: dict[str, Any] = {}
    rows: dict[str, list[_Row]] = {}
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        record, is_strict = _parse_line(line)
        if not isinstance(record, dict) or type(record.get("step")) not in (int, float):
            parsed.bad_lines += 1
            continue
        if not rows or record.get("args") != first["args"]:
            if not is_whole(record.get("args")):
                parsed.bad_lines += 1
                continue
            _add_run(first, rows, parsed)
            first, rows = record, {}
            envs = tuple(record["args"]["test_envs"])
            attached = is_attached(record["args"])
        variants = record.get("variants")
        named = [*variants.items()] if isinstance(variants, dict) else []
        for name, figures in [("", record), *named]:
            shown = {**_without_figures(record), **figures} if name else record
            row = _read_row(shown, envs, attached, details, is_strict)
            rows.setdefault(name, []).append(row)
    _add_run(first, rows, parsed)
    return parsed


def _parse_line(text: bytes) -> tuple[Any, bool]:
    """Return what JSON says, and whether it is strict.

    NaN and Infinity, which Python writes and the standard lacks, are read too.
    """
    try:
        return orjson.loads(text), True
    except orjson.JSONDecodeError:
        if b"NaN" not in text and b"Infinity" not in text:
            return None, False
    try:
        return json.loads(text), False
    except ValueError:
        return None, False


def _read_row(
    record: dict[str, Any], envs: tuple[int, ...], attached: bool, details: bool, is_strict: bool
) -> _Row:
    keys = tuple(record)
    if details:
        keys = tuple(key for key in keys if _is_share(key) or type(record[key]) in (int, float))
    columns, get = _getter(envs, attached, details, keys)
    values = get(record)
    is_bad = not is_strict and any(
        value != value for name, value in zip(columns, values, strict=True) if _is_share(name)
    )
    of_validation = record.get("val_class_acc")
    if isinstance(of_validation, dict):
        columns += (WORST_VALIDATION,)
        values += (_worst_class(list(of_validation.values())),)
    lists = record.get("class_acc")
    lists = lists if isinstance(lists, dict) else {}
    for env in envs:
        by_class = lists.get(f"env{env}_in")
        if isinstance(by_class, list):
            known = [one for one in by_class if isinstance(one, int | float) and one == one]
            if known:
                columns += (f"balanced@{env}", f"worst@{env}")
                values += (sum(known) / len(known), min(known))
            if details:
                columns += tuple(f"{CLASS}{number}@{env}" for number in range(len(by_class)))
                values += tuple(by_class)
    return _Row(columns, values, is_bad)


def _worst_class(by_source: Sequence[Any]) -> float | None:
    """Return the least over the classes of the mean over the sources; None if there is none."""
    if not all(isinstance(row, list) for row in by_source):
        return None
    means = []
    for one_class in zip(*by_source, strict=False):
        known = [one for one in one_class if isinstance(one, int | float)]
        if known:
            means.append(sum(known) / len(known))
    return min(means, default=None)


@lru_cache(maxsize=1024)
def _getter(
    envs: tuple[int, ...], attached: bool, details: bool, keys: tuple[str, ...]
) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """Return the columns that a record of these keys has, and what takes them from it.

    Of measures that every test domain has, the columns end in "@" and the number of the domain.
    """
    groups = {
        f"env{env}_in_{end}": f"{metric}@{env}"
        for env in envs
        for metric, end in [*RECORD_SUFFIXES.items(), (F1, F1)]
    }
    wanted: dict[str, str] = {}
    for key in keys:
        match = _ACCURACY.fullmatch(key)
        if match and attached and match[2] == "out" and int(match[1]) not in envs:
            # DomainBed's scripts call the balanced validation split of an imbalanced source "out"
            wanted[key] = f"env{match[1]}_val_acc"
        elif match or key in PLAIN_KEYS:
            wanted[key] = key
        elif key in groups:
            wanted[key] = groups[key]
        elif details and not ENVIRONMENT.match(key):
            wanted[key] = key
    if len(wanted) == 1:
        return ("step",), lambda record: (record["step"],)
    return tuple(wanted.values()), itemgetter(*wanted)


@lru_cache(maxsize=4096)
def _is_share(name: str) -> bool:
    """Whether a column holds an accuracy."""
    return "@" in name or name == WORST_VALIDATION or _ACCURACY.fullmatch(name) is not None


def _without_figures(record: dict[str, Any]) -> dict[str, Any]:
    """Return what a record holds besides the figures of an evaluation."""
    return {key: value for key, value in record.items()
            if key != "class_acc" and not ENVIRONMENT.match(key)}  # fmt: skip


def _add_run(first: dict[str, Any], rows: dict[str, list[_Row]], parsed: ParsedFile) -> None:
    """Add a run, and each of its variants."""
    for variant, its in rows.items():
        _add_evaluation(first, its, parsed, variant)


def _add_evaluation(
    first: dict[str, Any], rows: list[_Row], parsed: ParsedFile, variant: str
) -> None:
    """Turn the rows of a run into columns; where a record lacks one, it is NaN."""
    try:
        names, values = _stack(rows)
    except (TypeError, ValueError):
        good = [row for row in rows if _has_only_numbers(row.values)]
        parsed.bad_lines += len(rows) - len(good)
        rows = good
        names, values = _stack(rows)
    if not rows:
        return
    shares = [number for number, name in enumerate(names) if _is_share(name)]
    outside = (values[:, shares] < 0) | (values[:, shares] > 1)
    values[:, shares] = np.where(outside, np.nan, values[:, shares])
    bad = outside.any(axis=1) | np.array([row.is_bad for row in rows])
    columns = _average_targets(dict(zip(names, values.T, strict=True)))
    parsed.runs.append(ParsedRun(_describe_run(first), columns, int(bad.sum()), variant))


def _describe_run(record: dict[str, Any]) -> dict[str, Any]:
    hparams, network = record.get("hparams"), record.get("network")
    return {
        "args": record["args"],
        "hparams": hparams if isinstance(hparams, dict) else {},
        "backend": record.get("backend"),
        "network": network if isinstance(network, dict) else {},
    }


def _has_only_numbers(values: Sequence[Any]) -> bool:
    return all(value is None or type(value) in (int, float) for value in values)


def _stack(rows: list[_Row]) -> tuple[tuple[str, ...], np.ndarray]:
    """Return all columns, and the values (records, columns). Raises if one is no number."""
    names = tuple(dict.fromkeys(name for columns in {row.columns for row in rows}
                                for name in columns))  # fmt: skip
    full = [row.values if row.columns == names else _widen(row, names) for row in rows]
    return names, np.array(full, dtype=np.float64)


def _widen(row: _Row, columns: tuple[str, ...]) -> tuple[Any, ...]:
    given = dict(zip(row.columns, row.values, strict=True))
    return tuple(given.get(name) for name in columns)


def _average_targets(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the measures of the test domains as one column each: the mean over the domains."""
    found: dict[str, list[np.ndarray]] = {}
    for name, values in columns.items():
        found.setdefault(name.partition("@")[0], []).append(values)
    return {
        name: parts[0] if len(parts) == 1 else _mean_of_known(parts)
        for name, parts in found.items()
    }


def _mean_of_known(parts: list[np.ndarray]) -> np.ndarray:
    known = np.sum([~np.isnan(part) for part in parts], axis=0)
    return np.where(known > 0, np.nansum(parts, axis=0) / np.maximum(known, 1), np.nan)
