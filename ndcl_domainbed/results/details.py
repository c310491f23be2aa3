"""What an analysis may want beside accuracies: names, hyper-parameters, accuracy by class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

from ndcl_domainbed.results.parsing import CLASS, parse
from ndcl_domainbed.results.reading import Sweep
from ndcl_domainbed.results.splits import domain_names, read_split
from ndcl_domainbed.run_folder import RECORDS_FILE

HPARAM = "hparams."


def add_domains(frame: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return ``frame`` with a column ``domain`` behind ``test_env``: its name, as in tables.

    ``runs`` are those of the whole sweep. Empty for leave-one-domain-out's pairs.
    """
    names = {
        (*board, env): name
        for board, mine in runs.groupby(["dataset", "setting"], observed=True)
        for env, name in enumerate(domain_names(mine))
    }
    keys = zip(frame["dataset"], frame["setting"], frame["test_env"], strict=True)
    found = pd.Categorical([names.get(key, "") for key in keys])
    frame = frame.copy(deep=False)
    frame.insert(list(frame.columns).index("test_env") + 1, "domain", pd.Series(found, frame.index))
    return frame


def add_details(frame: pd.DataFrame, sweep: Sweep) -> pd.DataFrame:
    """Return ``sweep.frame()`` with the names of the classes, and with the hyper-parameters."""
    run_of = sweep.records["run"].to_numpy()
    limits = [_read_meta(text).get("args", {}).get("eval_images") for text in sweep.runs["meta"]]
    hparams = hparams_columns(sweep.runs["meta"]).iloc[run_of].set_index(frame.index)
    named = name_classes(frame).assign(eval_images=np.array([n or 0 for n in limits])[run_of])
    return pd.concat([named, hparams], axis=1)


def name_classes(frame: pd.DataFrame) -> pd.DataFrame:
    """Return ``frame`` with ``class_acc.NUMBER`` named as each run's ``split.json`` does."""
    numbered = [name for name in frame.columns if name.startswith(CLASS)]
    rest = frame.drop(columns=numbered)
    if not numbered:
        return rest
    rows_of: dict[tuple[str, ...], list[np.ndarray]] = {}
    for folder, rows in frame.groupby("run", observed=True, sort=False).indices.items():
        classes = (read_split(str(folder)) or {}).get("classes") or []
        rows_of.setdefault(tuple(map(str, classes)), []).append(np.asarray(rows))
    columns: dict[str, np.ndarray] = {}
    for classes, parts in rows_of.items():
        rows = np.concatenate(parts)
        for column in numbered:
            number = int(column.removeprefix(CLASS))
            name = f"{CLASS}{classes[number]}" if number < len(classes) else column
            values = frame[column].to_numpy()[rows]
            if not np.isnan(values).all():
                columns.setdefault(name, np.full(len(frame), np.nan))[rows] = values
    return pd.concat([rest, pd.DataFrame(columns, index=frame.index)], axis=1)


def hparams_columns(metas: Iterable[str]) -> pd.DataFrame:
    """Return a column ``hparams.NAME`` for each hyper-parameter in ``metas``, or NaN."""
    found = [_read_meta(text).get("hparams", {}) for text in metas]
    columns = {}
    for name in sorted({name for hparams in found for name in hparams}):
        values = [one.get(name) for one in found]
        kinds = {type(value) for value in values if value is not None}
        if (len(kinds) > 1 and kinds != {int, float}) or kinds & {list, dict}:
            # a column of a Parquet file has one type
            values = [None if value is None else str(value) for value in values]
        columns[f"{HPARAM}{name}"] = values
    return pd.DataFrame(columns, index=range(len(found)))


def _read_meta(text: object) -> dict[str, Any]:
    return dict(orjson.loads(text)) if isinstance(text, str) else {}


def class_accuracies(
    folder: str, step: float, test_envs: Sequence[int], variant: str = ""
) -> list[float | None] | None:
    """Return the accuracies by class, shares, at ``step`` of the run in ``folder``.

    On the "in" split of the test domain, or the means over several; None for a class without an
    image there. None if the run has no such record of the ``variant``.
    """
    try:
        runs = parse((Path(folder) / RECORDS_FILE).read_bytes(), details=True).runs
    except OSError:
        return None
    for run in runs:
        at = np.flatnonzero(run.columns["step"] == step)
        is_it = run.variant == variant and run.meta["args"]["test_envs"] == list(test_envs)
        columns = [values for name, values in run.columns.items() if name.startswith(CLASS)]
        if is_it and len(at) and columns:
            values = [float(column[at[0]]) for column in columns]
            found = [None if np.isnan(value) else value for value in values]
            return None if found == [None] * len(found) else found
    return None
