"""The files of records, ``results.jsonl``, to columns of numbers.

A record is one JSON object a line. What tables need is kept: the accuracies of every split, and
on the test domains of a run the shot groups and the mean and the least over the classes. With
``details``, what an analysis may want too: losses and the accuracy by class.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import pandas as pd

from imbalance_splits.shots import RECORD_SUFFIXES
from ndcl_domainbed.results.identity import is_attached, is_whole
from ndcl_domainbed.run_folder import RECORDS_FILE

ENVIRONMENT = re.compile(r"env(\d+)_")
PLAIN_KEYS = ("step", "epoch", "step_time", "mem_gb")
"""What a record has once, and not for every domain and split."""

CLASS = "class_acc."  # begins a column of `details`: the number of a class, or its name, follows
F1 = "macro_f1"
WORST_VALIDATION = "val_worst"
"""The column of the lowest accuracy of a class on the validation splits, a mean over sources."""

MANNER = frozenset(
    {"data_dir", "output_dir", "device", "num_workers", "feature_cache", "log", "no_resume",
     "keep_resume"}
)  # fmt: skip
"""Arguments that may change when a run is resumed: it is the same run."""

PROGRESS_FILES = 5_000  # fewer are read before one would look at a progress bar

_ACCURACY = re.compile(r"env(\d+)_(in|out|val|uda)_acc")
_MEASURES = {end: metric for metric, end in [*RECORD_SUFFIXES.items(), (F1, F1)]}

_Row = dict[str, Any]
"""Column -> value. Of measures that every test domain has, columns end in "@" and its number."""


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


def parse_folders(
    folders: Collection[str], *, details: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read and parse the records in ``folders``; return runs and records.

    A row per run: its folder, the bad lines in its file, its records with an impossible accuracy,
    its variant, and meta (arguments, hyper-parameters, backend, network) as JSON; empty if the file
    has no record. The records are numbers; ``run`` is the row of their run, ascending.
    """
    rows: list[tuple[object, ...]] = []
    parsed_runs: list[ParsedRun] = []
    numbers: list[int] = []
    for folder in _with_progress(folders):
        try:
            parsed = parse(Path(folder, RECORDS_FILE).read_bytes(), details=details)
        except OSError:  # gone since it was listed
            parsed = ParsedFile()
        for run in parsed.runs:
            numbers.append(len(rows))
            parsed_runs.append(run)
            meta = orjson.dumps(run.meta).decode()
            rows.append((folder, parsed.bad_lines, run.bad_records, run.variant, meta))
        if not parsed.runs:
            rows.append((folder, parsed.bad_lines, 0, "", ""))
    run_of = np.repeat(np.array(numbers, dtype=np.int32), [run.n_records for run in parsed_runs])
    columns: dict[str, np.ndarray] = {}
    at = 0
    for run in parsed_runs:
        for name, values in run.columns.items():
            if name not in columns:
                columns[name] = np.full(len(run_of), np.nan)
            columns[name][at : at + run.n_records] = values
        at += run.n_records
    names = ["folder", "bad_lines", "bad_records", "variant", "meta"]
    records = pd.DataFrame({"run": run_of, **columns}, copy=False)
    return pd.DataFrame.from_records(rows, columns=names), records


def _with_progress(folders: Collection[str]) -> Iterable[str]:
    """Return ``folders``; on a terminal, with a bar and the time to go if there are many."""
    if len(folders) < PROGRESS_FILES or not sys.stderr.isatty():
        return folders
    from rich.console import Console
    from rich.progress import track

    return track(folders, "reading runs", console=Console(stderr=True), transient=True)


def _continues(first: dict[str, Any], args: Any) -> bool:
    """Whether ``args`` are those of the run that began with ``first``."""
    if args == first:
        return True
    if not isinstance(args, dict):
        return False
    names = (first.keys() | args.keys()) - MANNER
    return all(name in first and name in args and first[name] == args[name] for name in names)


def parse(data: bytes, *, details: bool = False) -> ParsedFile:
    """Parse the content of a ``results.jsonl``.

    A line that is no record (torn by a kill, corrupt, foreign) is counted and skipped.
    """
    parsed = ParsedFile()
    first: dict[str, Any] = {}
    rows: dict[str, list[_Row]] = {}  # by variant
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        record = _parse_line(line)
        if not isinstance(record, dict) or type(record.get("step")) not in (int, float):
            parsed.bad_lines += 1
            continue
        if not rows or not _continues(first["args"], record.get("args")):
            if not is_whole(record.get("args")):
                parsed.bad_lines += 1
                continue
            _add_run(first, rows, parsed)
            first, rows = record, {}
            envs = tuple(record["args"]["test_envs"])
            attached = is_attached(record["args"])
        variants = record.get("variants")
        pairs = variants.items() if isinstance(variants, dict) else ()
        named = [(name, figures) for name, figures in pairs if isinstance(figures, dict)]
        for name, figures in [("", record), *named]:
            shown = {**_without_figures(record), **figures} if name else record
            rows.setdefault(name, []).append(_read_row(shown, envs, attached, details))
    _add_run(first, rows, parsed)
    return parsed


def _parse_line(text: bytes) -> Any:
    """Return what JSON says; None if it is none. NaN and Infinity, as Python writes, are read."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        if b"NaN" not in text and b"Infinity" not in text:
            return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _without_figures(record: dict[str, Any]) -> dict[str, Any]:
    """Return what a record holds besides the figures of an evaluation."""
    return {key: value for key, value in record.items()
            if key != "class_acc" and not ENVIRONMENT.match(key)}  # fmt: skip


def _read_row(record: dict[str, Any], envs: tuple[int, ...], attached: bool, details: bool) -> _Row:
    row = {}
    for key, value in record.items():
        column = _column(key, envs, attached, details)
        if column and (not details or _is_share(column) or type(value) in (int, float)):
            # a NaN is impossible, as 1.5 is; null is no accuracy at all
            row[column] = math.inf if value != value and _is_share(column) else value
    of_validation = record.get("val_class_acc")
    if isinstance(of_validation, dict):
        row[WORST_VALIDATION] = _worst_class(list(of_validation.values()))
    lists = record.get("class_acc")
    for env in envs:
        by_class = lists.get(f"env{env}_in") if isinstance(lists, dict) else None
        if isinstance(by_class, list):
            known = [one for one in by_class if isinstance(one, int | float) and one == one]
            if known:
                row[f"balanced@{env}"] = sum(known) / len(known)
                row[f"worst@{env}"] = min(known)
            if details:
                row |= {f"{CLASS}{number}@{env}": one for number, one in enumerate(by_class)}
    return row


@lru_cache(maxsize=4096)
def _column(key: str, envs: tuple[int, ...], attached: bool, details: bool) -> str:
    """Return the column for a key of a record; empty if it is not kept."""
    match = _ACCURACY.fullmatch(key)
    if match and attached and match[2] == "out" and int(match[1]) not in envs:
        # DomainBed's scripts call the balanced validation split of an imbalanced source "out"
        return f"env{match[1]}_val_acc"
    if match or key in PLAIN_KEYS:
        return key
    domain, _, end = key.removeprefix("env").partition("_in_")
    if end in _MEASURES and domain in map(str, envs):
        return f"{_MEASURES[end]}@{domain}"
    return key if details and not ENVIRONMENT.match(key) else ""


@lru_cache(maxsize=4096)
def _is_share(name: str) -> bool:
    """Whether a column holds an accuracy."""
    return "@" in name or name == WORST_VALIDATION or _ACCURACY.fullmatch(name) is not None


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


def _add_run(first: dict[str, Any], by_variant: dict[str, list[_Row]], parsed: ParsedFile) -> None:
    """Turn the rows of a run, and of its variants, into columns; NaN where a row lacks one."""
    for variant, rows in by_variant.items():
        try:
            names, values = _stack(rows)
        except (TypeError, ValueError):
            numbers = (int, float, type(None))
            good = [row for row in rows if all(type(one) in numbers for one in row.values())]
            parsed.bad_lines += len(rows) - len(good)
            if not good:
                continue
            names, values = _stack(good)
        shares = [number for number, name in enumerate(names) if _is_share(name)]
        outside = (values[:, shares] < 0) | (values[:, shares] > 1)
        values[:, shares] = np.where(outside, np.nan, values[:, shares])
        columns = _average_targets(dict(zip(names, values.T, strict=True)))
        bad = int(outside.any(axis=1).sum())
        parsed.runs.append(ParsedRun(_describe_run(first), columns, bad, variant))


def _describe_run(record: dict[str, Any]) -> dict[str, Any]:
    hparams, network = record.get("hparams"), record.get("network")
    return {
        "args": record["args"],
        "hparams": hparams if isinstance(hparams, dict) else {},
        "backend": record.get("backend"),
        "network": network if isinstance(network, dict) else {},
    }


def _stack(rows: list[_Row]) -> tuple[list[str], np.ndarray]:
    """Return all columns, and the values (records, columns). Raises if one is no number."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return names, np.array([[row.get(name) for name in names] for row in rows], dtype=np.float64)


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
