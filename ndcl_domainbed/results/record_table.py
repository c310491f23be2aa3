"""The records of many files as two data frames, a row per run and a row per record."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import pandas as pd

from imbalance_splits.errors import unknown_name
from ndcl_domainbed.results.folders import RunFile
from ndcl_domainbed.results.parsing import ParsedFile, ParsedRun, parse

PROGRESS_BYTES = 100 * 2**20
"""A smaller amount is read before one would look at a progress bar."""

RUN_COLUMNS = ("folder", "size", "mtime_ns", "inode", "bad_lines", "bad_records", "variant", "meta")


class RecordTable(NamedTuple):
    """What some files hold.

    ``runs``: a row per run with ``RUN_COLUMNS``: its folder, the key of its file, the number of
    bad lines there, of its records with an impossible accuracy, and meta: arguments,
    hyper-parameters, backend and network as JSON. A file with several runs has several rows; one
    without a record has a row whose meta is empty.
    ``records``: numbers; the column ``run`` is the row number in ``runs``, ascending.
    """

    runs: pd.DataFrame
    records: pd.DataFrame

    def keep(self, wanted: np.ndarray) -> RecordTable:
        """Return the runs that the mask ``wanted`` marks, and their records."""
        return RecordTable(*keep_runs(self.runs, self.records, wanted))

    def sort(self) -> RecordTable:
        """Return the runs in the order of their folders' names."""
        order = np.argsort(self.runs["folder"].to_numpy(dtype=object), kind="stable")
        place = np.argsort(order).astype(np.int32)
        records = self.records.assign(run=place[self.records["run"].to_numpy()])
        return RecordTable(
            self.runs.iloc[order].reset_index(drop=True),
            records.sort_values("run", kind="stable", ignore_index=True),
        )


def keep_runs(
    runs: pd.DataFrame, records: pd.DataFrame, wanted: np.ndarray
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the runs that the mask ``wanted`` marks, and their records, numbered again."""
    if wanted.all():
        return runs, records
    place = np.cumsum(wanted, dtype=np.int32) - 1
    run = records["run"].to_numpy()
    kept = records[wanted[run]].assign(run=place[run[wanted[run]]])
    return runs[wanted].reset_index(drop=True), kept.reset_index(drop=True)


def mark_evaluations(column: pd.Series, variants: Sequence[str] | None) -> np.ndarray:
    """Return which evaluations are asked for, a run's own among them."""
    names = [(str(name), str(name).partition(":")[0]) for name in column]
    there = sorted({spelling for pair in names for spelling in pair} - {""})
    for name in variants or ():
        if name not in there:
            raise unknown_name("variant of the runs", name, there)
    wanted = {""} if variants is None else {"", *(variants or there)}
    return np.array([not wanted.isdisjoint(pair) for pair in names], dtype=bool)


def join_tables(parts: Sequence[RecordTable]) -> RecordTable:
    """Return one table with the runs of all ``parts``, in their order."""
    parts = [part for part in parts if len(part.runs)] or list(parts[:1])
    if len(parts) == 1:
        return parts[0]
    before = np.cumsum([0, *(len(part.runs) for part in parts[:-1])]).astype(np.int32)
    records = [part.records.assign(run=part.records["run"] + n)
               for part, n in zip(parts, before, strict=True)]  # fmt: skip
    return RecordTable(
        pd.concat([part.runs for part in parts], ignore_index=True),
        pd.concat(records, ignore_index=True),
    )


def parse_files(files: Sequence[RunFile], *, details: bool = False) -> RecordTable:
    """Read and parse ``files``; a file that is gone since it was listed has no records."""
    rows: list[tuple[object, ...]] = []
    parsed_runs: list[ParsedRun] = []
    numbers: list[int] = []
    for file in _with_progress(files):
        try:
            parsed = parse(Path(file.path).read_bytes(), details=details)
        except OSError:
            parsed = ParsedFile()
        about = (file.folder, *file.key, parsed.bad_lines)
        for run in parsed.runs:
            numbers.append(len(rows))
            parsed_runs.append(run)
            rows.append((*about, run.bad_records, run.variant, orjson.dumps(run.meta).decode()))
        if not parsed.runs:
            rows.append((*about, 0, "", ""))
    counts = [run.n_records for run in parsed_runs]
    run_of = np.repeat(np.array(numbers, dtype=np.int32), counts)
    records = pd.DataFrame({"run": run_of, **_join_columns(parsed_runs, len(run_of))}, copy=False)
    return RecordTable(pd.DataFrame.from_records(rows, columns=RUN_COLUMNS), records)


def _join_columns(runs: Sequence[ParsedRun], count: int) -> dict[str, np.ndarray]:
    columns: dict[str, np.ndarray] = {}
    at = 0
    for run in runs:
        for name, values in run.columns.items():
            if name not in columns:
                columns[name] = np.full(count, np.nan)
            columns[name][at : at + run.n_records] = values
        at += run.n_records
    return columns


def _with_progress(files: Sequence[RunFile]) -> Iterator[RunFile]:
    """Yield ``files``; on a terminal, show a bar with the time to go if there is much to read."""
    total = sum(file.size for file in files)
    if total < PROGRESS_BYTES or not sys.stderr.isatty():
        yield from files
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(files, "reading runs", console=Console(stderr=True), transient=True)


def target_accuracy(columns: Any, split: str, rows: np.ndarray | None = None) -> np.ndarray:
    """Return the accuracy on ``split`` of each row's test domain; NaN where there is none.

    The mean over the test domains, if the run trains on one domain and is tested on all others.
    ``rows``: the numbers of the rows that are asked for; by default all.
    """
    at = np.arange(len(columns["test_env"])) if rows is None else rows
    test_envs = pd.Categorical(columns["test_envs"])
    is_cell = np.asarray(columns["test_env"])[at] >= 0
    result = np.full(len(at), np.nan)
    for code, text in enumerate(test_envs.categories):
        here = is_cell & (test_envs.codes[at] == code)
        names = [f"env{env}_{split}_acc" for env in str(text).split()]
        if here.any() and all(name in columns for name in names):
            values = [np.asarray(columns[name])[at[here]] for name in names]
            result[here] = values[0] if len(values) == 1 else np.mean(values, axis=0)
    return result
