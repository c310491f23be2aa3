"""What a run recorded while it was trained with ``--diagnostics``: no model, no images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imbalance_splits.errors import InputError
from ndcl_domainbed.diagnostics import callback
from ndcl_domainbed.diagnostics.findings import Request
from ndcl_domainbed.diagnostics.saved_run import no_shot_groups, run_names
from ndcl_domainbed.diagnostics.update_watcher import COUNTS, MEANS_OVER
from ndcl_domainbed.results.splits import read_split
from ndcl_domainbed.run_folder import RECORDS_FILE, SPLIT_FILE
from ndcl_domainbed.training import records
from ndcl_domainbed.training.arguments import TrainArguments, read_arguments
from ndcl_domainbed.training.callbacks import line_file

LINE_FILE = line_file(callback.NAME)


@dataclass(frozen=True)
class WatchedRun:
    """A run and what it recorded by domain-class pair.

    ``pairs`` has a row for each record and pair that occurred: ``step``; ``domain``, ``class`` and
    ``shots`` (the shot group of the class) as names; ``images``, the training images of the pair,
    and ``class_images``, those of the class in all sources; and the figures that
    :class:`ndcl_domainbed.diagnostics.update_watcher.UpdateWatcher` describes, NaN if undefined.
    ``updates`` counts the updates watched, ``steps`` those made; one in
    :data:`ndcl_domainbed.diagnostics.callback.EVERY` should have been watched.
    """

    folder: Path
    arguments: TrainArguments
    hparams: dict[str, Any]
    pairs: pd.DataFrame
    updates: int
    steps: int

    def shot_pairs(self) -> pd.DataFrame:
        """Return ``pairs``. Raises InputError for a run whose classes have no shot groups."""
        if self.pairs["shots"].isna().any():
            raise no_shot_groups(self.folder)
        return self.pairs


def missing_updates(runs: dict[str, WatchedRun]) -> str:
    """Return a note for a caption on runs whose updates could not all be watched, or ""."""
    notes = []
    for name, run in runs.items():
        wanted = math.ceil(run.steps / callback.EVERY)
        if run.updates < wanted:
            notes.append(f" {name}: only {run.updates} of {wanted} updates could be watched.")
    return "".join(notes)


def load_watched(request: Request) -> dict[str, WatchedRun]:
    """Return the runs that ``request`` names, by short names.

    Raises InputError if one was not trained with ``--diagnostics``.
    """
    runs = [_load(folder) for folder in request.folders]
    return dict(zip(run_names(runs), runs, strict=True))


def _load(folder: Path) -> WatchedRun:
    if not (folder / LINE_FILE).is_file():
        raise InputError(
            f"{folder} holds no {LINE_FILE}: name the folder of a run that was trained with "
            "--diagnostics."
        )
    lines, about = (_read_lines(folder / name) for name in (LINE_FILE, RECORDS_FILE))
    split = read_split(str(folder))
    if split is None:
        raise InputError(f"{folder / SPLIT_FILE} is missing or damaged.")
    try:
        return WatchedRun(
            folder=folder,
            arguments=read_arguments(about[0]["args"]),
            hparams=about[0]["hparams"],
            pairs=_tabulate_pairs(lines, split),
            updates=sum(line["updates"] for line in lines),
            steps=lines[-1]["step"] + 1,
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder / LINE_FILE} does not fit the files beside it ({error!r}): one of them is "
            "damaged, or of another version. Train again with --diagnostics --no_resume."
        ) from error


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """Return what a run has written into ``path``. Raises InputError if that is nothing."""
    try:
        found = records.read(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if not found:
        raise InputError(f"{path} holds no record: the run has yet to write one, or it is damaged.")
    return found


def _tabulate_pairs(lines: list[dict[str, Any]], split: dict[str, Any]) -> pd.DataFrame:
    parts = [pd.DataFrame(line["pairs"]).assign(step=line["step"]) for line in lines]
    table = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    domains = [split["environments"][env] for env in table.pop("env")]
    numbers = table["class"].to_numpy(dtype=int)
    counts = split["train_counts"]
    totals = np.sum(list(counts.values()), axis=0)
    table["domain"] = domains
    table["class"] = np.asarray(split["classes"], dtype=object)[numbers]
    table["shots"] = np.asarray(split["shots"] or [None] * len(totals), dtype=object)[numbers]
    table["images"] = [int(counts[domain][k]) for domain, k in zip(domains, numbers, strict=True)]
    table["class_images"] = totals[numbers]
    return table.astype(dict.fromkeys([*MEANS_OVER, "instability"], float))


def average_by(pairs: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return the figures of ``pairs`` by the columns ``by``, a row for each group.

    Means are weighted, so that they are those of all samples, anchors or batches of the group;
    ``samples``, ``anchors`` and ``batches`` are summed. ``instability`` is the root mean square
    over the records, weighted by their degrees of freedom.
    """
    weights = {name: pairs[count] for name, count in MEANS_OVER.items()}
    weights["instability"] = (pairs["batches"] - 1).clip(lower=0)
    values = pairs[list(weights)].assign(instability=pairs["instability"] ** 2)
    weighted = pd.DataFrame(weights).where(values.notna(), 0)
    keys = [pairs[key] for key in by]

    def total(table: pd.DataFrame) -> pd.DataFrame:
        return table.groupby(keys, sort=False, observed=True).sum()

    sums = total(weighted)
    means = total(values.fillna(0) * weighted) / sums.where(sums > 0)
    means["instability"] **= 0.5
    return total(pairs[list(COUNTS)]).join(means).reset_index()
