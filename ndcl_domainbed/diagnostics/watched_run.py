"""What a run recorded while it was trained with ``--diagnostics``: no model, no images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imbalance_splits.errors import InputError
from ndcl_domainbed.diagnostics import callback
from ndcl_domainbed.diagnostics.faults import no_shot_groups
from ndcl_domainbed.diagnostics.request import Request
from ndcl_domainbed.diagnostics.run_names import run_names
from ndcl_domainbed.results.splits import read_split
from ndcl_domainbed.run_folder import RECORDS_FILE, SPLIT_FILE
from ndcl_domainbed.training import records
from ndcl_domainbed.training.arguments import TrainArguments, read_arguments
from ndcl_domainbed.training.callbacks import line_file

LINE_FILE = line_file(callback.NAME)

COUNTS = ("samples", "anchors", "batches")
_MEANS_OVER = {
    **dict.fromkeys(("grad_logits", "grad_features", "confidence"), "samples"),
    **dict.fromkeys(("amplification", "crowding"), "anchors"),
    **dict.fromkeys(("norm", "distance"), "batches"),
}


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
        """Return ``pairs``; InputError for a run whose classes have no shot groups."""
        if self.pairs["shots"].isna().any():
            raise no_shot_groups(self.folder)
        return self.pairs


def missing_updates(runs: Sequence[WatchedRun], names: Sequence[str]) -> str:
    """Return a note for a caption on runs whose updates could not all be watched, or ""."""
    wanted = [math.ceil(run.steps / callback.EVERY) for run in runs]
    return "".join(
        f" {name}: only {run.updates} of {number} updates could be watched."
        for run, name, number in zip(runs, names, wanted, strict=True)
        if run.updates < number
    )


def load_watched(request: Request) -> tuple[list[WatchedRun], list[str]]:
    """Return the runs that ``request`` names, and a short name of each.

    Raises InputError if one was not trained with ``--diagnostics``.
    """
    runs = [load_watched_run(folder) for folder in request.folders]
    return runs, run_names(runs)


def load_watched_run(folder: Path) -> WatchedRun:
    """Return what the run in ``folder`` recorded. Raises InputError if it was not watched."""
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
            f"{folder / LINE_FILE} and the files beside it do not fit ({error!r}): they are "
            "damaged, or of another version."
        ) from error


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """Return what a run has written into ``path``; InputError if that is nothing."""
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
    domains = table.pop("env").map(lambda env: split["environments"][env])
    numbers = table["class"].to_numpy(dtype=int)
    counts = {domain: np.asarray(row) for domain, row in split["train_counts"].items()}
    totals = sum(counts.values(), np.zeros(len(split["classes"]), dtype=int))
    shots = np.asarray(split["shots"] or [None] * len(totals), dtype=object)
    table["domain"] = domains
    table["class"] = np.asarray(split["classes"], dtype=object)[numbers]
    table["shots"] = shots[numbers]
    table["images"] = [int(counts[d][k]) for d, k in zip(domains, numbers, strict=True)]
    table["class_images"] = totals[numbers]
    return table.astype(dict.fromkeys([*_MEANS_OVER, "instability"], float))


def average_by(pairs: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return the figures of ``pairs`` by the columns ``by``, a row for each group.

    Means are weighted, so that they are those of all samples, anchors or batches of the group;
    ``samples``, ``anchors`` and ``batches`` are summed. ``instability`` is the root mean square
    over the records, weighted by their degrees of freedom.
    """
    found = pairs.groupby(by, sort=False, observed=True)[list(COUNTS)].sum()
    for name, count in _MEANS_OVER.items():
        found[name] = _weighted_mean(pairs, name, pairs[count], by)
    freedom = (pairs["batches"] - 1).clip(lower=0)
    squares = pairs.assign(instability=pairs["instability"] ** 2)
    found["instability"] = _weighted_mean(squares, "instability", freedom, by) ** 0.5
    return found.reset_index()


def _weighted_mean(pairs: pd.DataFrame, name: str, weights: pd.Series, by: list[str]) -> pd.Series:
    """Return the weighted mean of a column in each group; NaN where nothing is defined."""
    defined = weights.where(pairs[name].notna(), 0)
    keys = [pairs[key] for key in by]
    totals = (pairs[name].fillna(0) * defined).groupby(keys, sort=False, observed=True).sum()
    over = defined.groupby(keys, sort=False, observed=True).sum()
    return totals / over.where(over > 0)
