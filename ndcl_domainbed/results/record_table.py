"""The records of many files as two data frames, a row per run and a row per record."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

from ndcl_domainbed.results.parsing import ParsedFile, ParsedRun, parse
from ndcl_domainbed.run_folder import RECORDS_FILE

PROGRESS_FILES = 5_000
"""Fewer are read before one would look at a progress bar."""


def parse_folders(
    folders: Collection[str], *, details: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read and parse the records in ``folders``; return runs and records.

    A row per run: its folder, the number of bad lines in its file, of its records with an
    impossible accuracy, its variant, and meta: arguments, hyper-parameters, backend and network
    as JSON. A file with several runs has several rows; one without a record has a row whose meta
    is empty. The records are numbers; their column ``run`` is the row number of the run,
    ascending.
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
