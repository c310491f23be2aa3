"""Runs on disk to data frames: ``read_sweep`` for everything, ``load`` for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

from imbalance_splits.errors import InputError, unknown_name
from imbalance_splits.settings.from_file import FILE_SUFFIXES
from imbalance_splits.shots import GROUPS
from ndcl_domainbed.results.cache import read_runs
from ndcl_domainbed.results.folders import Found, find_runs
from ndcl_domainbed.results.identity import (
    Identity,
    RowName,
    identity,
    mark_single_source,
    merge_equal_tables,
    name_rows,
)
from ndcl_domainbed.results.labels import base_algorithm, base_dataset
from ndcl_domainbed.results.names import METRICS
from ndcl_domainbed.results.parsing import ENVIRONMENT, PLAIN_KEYS
from ndcl_domainbed.results.selection import target_accuracy
from ndcl_domainbed.results.splits import mark_own_splits, read_split
from ndcl_domainbed.run_folder import DONE, ERR_FILE, RECORDS_FILE, STOPPED, State, read_state

Folders = str | Path | Iterable[str | Path]

TRIED_OUT = "tried out"
"""The state of a run that is done and was evaluated on few images (``--eval_images``)."""

_BASES = {"dataset": base_dataset, "algorithm": base_algorithm}


@dataclass
class Sweep:
    """Everything read from some folders.

    ``runs``: a row per run: ``run`` (its folder), dataset, setting, algorithm, test_envs (as "0" or
    "0 2"), test_env (of a run that trains on one of several domains its source; otherwise -1 if
    there are several), trial_seed, hparams_seed, n_envs, state ("done", "tried out", "unfinished",
    "failed", "stopped", "not started"), reason (why it failed or was stopped), fixed (the overrides
    that all runs of its dataset and setting share, as text), network (as its records have it, as
    JSON; or empty), variant (the evaluation that its figures are from; empty for the run's own),
    and meta: args, hparams and backend as JSON. Jobs that a sweep has listed and that have no
    record come last. As in tables, ``dataset`` has the network behind it where ``--hparams``
    changed it ("PACS [resnet18]"), and ``algorithm`` the other overrides ("NDCL
    (class_prior=logit)").
    ``records``: a row per record; its column ``run`` is the row number in ``runs``.
    ``empty``: folders of runs that have no record and are on no list. ``bad_lines``: file ->
    lines that are no record; ``bad_records``: file -> records with an impossible accuracy.
    """

    runs: pd.DataFrame
    records: pd.DataFrame
    roots: list[str]
    empty: list[str] = field(default_factory=list)
    bad_lines: dict[str, int] = field(default_factory=dict)
    bad_records: dict[str, int] = field(default_factory=dict)

    def frame(self) -> pd.DataFrame:
        """Return the records with the columns of their runs beside them, a row per record."""
        return _join(self.runs, self.records)

    def only(self, **wanted: Sequence[str] | None) -> Sweep:
        """Return the part with these names, as ``only(algorithm=["ERM"], setting=None)``.

        None keeps all. A dataset stands for all its networks, an algorithm for all
        its variants. Raises InputError for a name that no run has.
        """
        keep = np.ones(len(self.runs), dtype=bool)
        for column, names in wanted.items():
            if names:
                known = [str(name) for name in self.runs[column].unique()]
                keep &= self.runs[column].isin(_match_names(column, names, known)).to_numpy()
        runs, records = _keep_runs(self.runs, self.records, keep)
        return replace(self, runs=runs, records=records)

    def without_variants(self) -> Sweep:
        """Return the runs' own figures alone."""
        own = (self.runs["variant"] == "").to_numpy()
        runs, records = _keep_runs(self.runs, self.records, own)
        return replace(self, runs=runs, records=records)


def _keep_runs(
    runs: pd.DataFrame, records: pd.DataFrame, wanted: np.ndarray
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the runs that the mask ``wanted`` marks, and their records, numbered again."""
    if wanted.all():
        return runs, records
    place = np.cumsum(wanted, dtype=np.int32) - 1
    run = records["run"].to_numpy()
    kept = records[wanted[run]].assign(run=place[run[wanted[run]]])
    return runs[wanted].reset_index(drop=True), kept.reset_index(drop=True)


def _match_names(column: str, names: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the names in ``known`` that are asked for: as they are, or by their base."""
    base_of = _BASES.get(column, str)
    spellings = {name: {name, base_of(name)} for name in known}
    for name in names:
        if not any(name in either for either in spellings.values()):
            raise unknown_name(column, name, sorted(set().union(*spellings.values())))
    return [name for name, either in spellings.items() if either & set(names)]


def load(folders: Folders, *, details: bool = True) -> pd.DataFrame:
    """Return all records under one or several folders, a row per record.

    Accuracies are shares in [0, 1]; what is missing is NaN. Columns:

    - run, dataset, setting ("none" on the ordinary split, "own split" on that of a list),
      algorithm, test_envs, test_env, domain (the name of the test domain), trial_seed,
      hparams_seed, n_envs, done, stopped (a draw that its sweep stopped early);
    - step, epoch, step_time, mem_gb; every ``env{i}_{split}_acc``;
    - on the "in" split of the test domain: overall, many, medium, few, zero, balanced, worst,
      and macro_f1 where the records have it. Over several test domains of a run that trains on
      one, they are means; ``domain`` is then that one, "from A";
    - val_worst, where the records have it: of the classes on the sources' validation splits the
      lowest accuracy, a mean over the sources;
    - with ``details``: ``class_acc.NAME`` for each class (its number, if no ``split.json`` names
      it), ``hparams.NAME`` for each hyper-parameter, ``eval_images`` (the run's limit; 0: none),
      and what the algorithm returned, such as ``loss``. They are read from the files each time;
      without them a large sweep is read from the cache.

    Where ``--hparams`` changed the network, the dataset has it behind its name, "PACS [frozen
    resnet18]"; the algorithm has the other overrides, "NDCL (beta=0)", but for those that all
    runs of the dataset and setting share.

    Empty where runs are listed (``jobs.jsonl``) and none has a record yet.

    Raises InputError for a folder that does not exist or that holds no known run.
    """
    from ndcl_domainbed.results.details import add_details, add_domains

    sweep = read_sweep(folders, details=details)
    frame = add_domains(sweep.frame(), sweep.runs)
    return add_details(frame, sweep) if details else frame


def read_sweep(
    folders: Folders, *, details: bool = False, variants: Sequence[str] | None = None
) -> Sweep:
    """Read every run under one or several folders; bad lines and empty runs never stop it.

    ``details``: read losses and accuracies by class too, which no cache holds. ``variants``: the
    evaluations beside a run's own that are rows as well, "NDCL + SWAD"; an empty list means all.
    Raises InputError for a variant that no run has, for a folder that does not exist, if there is
    no run at all, or if no run is known: no record can be read, and no sweep lists one.
    """
    roots = [folders] if isinstance(folders, str | Path) else list(folders)
    found = find_runs(roots)
    every, records = read_runs(found, details=details)
    every, records = _keep_runs(every, records, _mark_variants(every["variant"], variants))
    known, records = _keep_runs(every, records, (every["meta"] != "").to_numpy())
    runs = _build_runs(known, records, found)
    without = found.empty.union(every["folder"])
    lines = every.drop_duplicates("folder").set_index("folder")["bad_lines"]
    if runs.empty:
        raise _no_run_error(roots, len(without), int(lines.sum()))
    return Sweep(
        runs=runs,
        records=_order_records(records),
        roots=found.roots,
        empty=sorted(without.difference(runs["run"])),
        bad_lines=_by_file(lines),
        bad_records=_by_file(every.groupby("folder")["bad_records"].sum()),
    )


def _mark_variants(column: pd.Series, asked: Sequence[str] | None) -> np.ndarray:
    """Return which evaluations are asked for, a run's own among them."""
    names = [(str(name), str(name).partition(":")[0]) for name in column]
    there = sorted({spelling for pair in names for spelling in pair} - {""})
    for name in asked or ():
        if name not in there:
            raise unknown_name("variant of the runs", name, there)
    wanted = {""} if asked is None else {"", *(asked or there)}
    return np.array([not wanted.isdisjoint(pair) for pair in names], dtype=bool)


def _by_file(counts: pd.Series) -> dict[str, int]:
    """Return file -> count, of the folders that have some."""
    return {
        str(Path(str(folder), RECORDS_FILE)): int(n) for folder, n in counts[counts > 0].items()
    }


def _no_run_error(roots: Iterable[str | Path], without: int, bad: int) -> InputError:
    """Return the error for folders without a known run."""
    where = ", ".join(str(root) for root in roots)
    if not without:
        return InputError(
            f"no {RECORDS_FILE} under {where}; "
            "--input_dir takes the --output_dir of a sweep or of one run"
        )
    unreadable = f", {bad} unreadable line{'s' * (bad > 1)}" if bad else ""
    return InputError(
        f"no record yet under {where}: {without} folder{'s' * (without > 1)} without one"
        f"{unreadable}; a run's {ERR_FILE} says what went wrong, if anything did"
    )


def _build_runs(table: pd.DataFrame, records: pd.DataFrame, found: Found) -> pd.DataFrame:
    """Return ``Sweep.runs``: the runs of ``table``, then the jobs without a record."""
    identities: list[Identity] = []
    rows: list[tuple[str, ...]] = []
    for folder, meta, variant in table[["folder", "meta", "variant"]].itertuples(index=False):
        content = orjson.loads(meta)
        run = identity(content["args"])._replace(variant=variant)
        identities.append(run)
        network = orjson.dumps(content["network"]).decode() if content.get("network") else ""
        state = State(DONE) if found.is_done[folder] else read_state(Path(folder))
        name = TRIED_OUT if state.name == DONE and run.eval_images else state.name
        rows.append((folder, name, state.reason, network, meta))
    known = set(identities)
    for place, args in found.jobs():
        job = identity(args)
        if job not in known:
            known.add(job)
            identities.append(job)
            state = read_state(place)
            rows.append((str(place), state.name, state.reason, "", "{}"))
    counts = _count_environments(records)
    n_envs = np.pad(counts, (0, len(rows) - len(counts)))
    shots = records[[name for name in GROUPS if name in records]].notna().any(axis=1)
    identities = mark_own_splits(identities, set(records["run"][shots]))
    identities = mark_single_source(identities, n_envs.tolist())
    tables = {run.setting for run in identities if run.setting.endswith(FILE_SUFFIXES)}
    if len(tables) > 1:  # only then their contents matter
        contents = [_describe_table(run, row[0]) for run, row in zip(identities, rows, strict=True)]
        identities = merge_equal_tables(identities, contents)
    named = pd.DataFrame.from_records(name_rows(identities), columns=RowName._fields)
    runs = pd.DataFrame.from_records(identities, columns=Identity._fields)
    runs = runs.drop(columns=["overrides", "network", "eval_images"]).assign(**dict(named))
    columns = ["run", "state", "reason", "network", "meta"]
    runs = runs.join(pd.DataFrame.from_records(rows, columns=columns)).assign(n_envs=n_envs)
    repeated = ("dataset", "setting", "algorithm", "test_envs", "state", "fixed", "network",
                "variant")  # fmt: skip
    return runs.astype(dict.fromkeys(repeated, "category"))


def _describe_table(run: Identity, folder: str) -> str:
    split = read_split(folder) if run.setting.endswith(FILE_SUFFIXES) else None
    return repr([split.get("train_counts"), split.get("thresholds")]) if split else ""


def _count_environments(records: pd.DataFrame) -> np.ndarray:
    """Return how many domains each run has: its accuracies' numbers, from 0 on without a gap."""
    matches = [(name, ENVIRONMENT.match(name)) for name in records.columns]
    envs = {name: int(match[1]) for name, match in matches if match}
    counted = records.groupby("run")[list(envs)].count() > 0
    present = counted.T.groupby(np.array(list(envs.values()), dtype=int)).any().T
    wanted = range(max(envs.values(), default=-1) + 1)
    present = present.reindex(columns=wanted, fill_value=False)
    return np.logical_and.accumulate(present.to_numpy(dtype=bool), axis=1).sum(axis=1)


def _order_records(records: pd.DataFrame) -> pd.DataFrame:
    """Return ``Sweep.records``: the columns in their order; what every record has is there."""
    columns = set(records.columns[1:]) if len(records) else PLAIN_KEYS
    return records.reindex(columns=["run", *sorted(columns, key=_column_order)])


def _column_order(name: str) -> tuple[int, int, str]:
    if name in PLAIN_KEYS:
        return 0, PLAIN_KEYS.index(name), ""
    match = ENVIRONMENT.match(name)
    if match:
        return 1, int(match[1]), name
    return (2, METRICS.index(name), "") if name in METRICS else (3, 0, name)


def _join(runs: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """Put the columns of the runs beside the records, strings as categories."""
    run_of = records["run"].to_numpy()
    columns: dict[str, Any] = {}
    for name in ("run", "dataset", "setting", "algorithm", "test_envs"):
        category = pd.Categorical(runs[name])
        columns[name] = pd.Categorical.from_codes(category.codes[run_of], dtype=category.dtype)
    for name in ("test_env", "trial_seed", "hparams_seed", "n_envs"):
        columns[name] = runs[name].to_numpy(dtype=np.int32)[run_of]
    for name, state in (("done", DONE), ("stopped", STOPPED)):
        columns[name] = (runs["state"] == state).to_numpy()[run_of]
    for name in records.columns[1:]:
        columns[name] = records[name].to_numpy()
    columns["overall"] = target_accuracy(columns, "in")
    for name in METRICS:
        columns.setdefault(name, np.full(len(records), np.nan))
    return pd.DataFrame(columns, copy=False)
