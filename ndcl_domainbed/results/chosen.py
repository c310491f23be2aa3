"""The hyper-parameters of selected records, and tables of them for other programs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pandas as pd

from imbalance_splits.errors import InputError
from imbalance_splits.whole_files import write_in_folder
from ndcl_domainbed.results.reading import Sweep
from ndcl_domainbed.results.selection import best_of_each_draw, criterion_names, select

if TYPE_CHECKING:
    from ndcl_domainbed.results.leaderboards import Leaderboards

_KEYS = ["run", "dataset", "setting", "algorithm", "test_env", "trial_seed", "hparams_seed"]
SUFFIXES = (".csv", ".parquet")


def with_hparams(selected: pd.DataFrame, sweep: Sweep) -> pd.DataFrame:
    """Return selected records with a column ``hparams.NAME`` for each hyper-parameter.

    A hyper-parameter that a run does not have is missing (NaN) in its row.
    """
    runs = sweep.runs[[*_KEYS, "meta"]].drop_duplicates(_KEYS, keep="last")
    plain = selected.astype(dict.fromkeys(_KEYS[:4], object))
    merged = plain.merge(runs.astype(dict.fromkeys(_KEYS[:4], object)), on=_KEYS, how="left")
    hparams = [_read_hparams(text) for text in merged.pop("meta")]
    names = sorted({name for values in hparams for name in values})
    columns = {
        f"hparams.{name}": _unify_types([one.get(name) for one in hparams]) for name in names
    }
    return pd.concat([merged, pd.DataFrame(columns, index=merged.index)], axis=1)


def _unify_types(values: list[Any]) -> list[Any]:
    """Return the values of one hyper-parameter; as text if they are not all of one kind.

    A column of a Parquet file has one type.
    """
    kinds = {type(value) for value in values if value is not None}
    if (len(kinds) == 1 and not kinds & {list, dict}) or kinds == {int, float}:
        return values
    return [None if value is None else str(value) for value in values]


def _read_hparams(meta: str) -> dict[str, Any]:
    values = orjson.loads(meta).get("hparams", {})
    return dict(values) if isinstance(values, dict) else {}


def selected_hparams(sweep: Sweep, built: Sequence[Leaderboards]) -> pd.DataFrame:
    """Return what each criterion chose, with its hyper-parameters: a row per cell and trial."""
    parts = [one.selected.assign(selection=one.criterion) for one in built if len(one.selected)]
    if not parts:
        return pd.DataFrame(columns=["selection", *_KEYS])
    table = with_hparams(pd.concat(parts, ignore_index=True), sweep)
    return table[["selection", *(name for name in table.columns if name != "selection")]]


def every_run(
    sweep: Sweep, criteria: Sequence[str] | None = None, *, partial: bool = False
) -> pd.DataFrame:
    """Return a row per criterion and run: its selected step, measures, and hyper-parameters.

    ``chosen`` marks the runs that the tables show, the best of their trial.

    Raises InputError for an unknown criterion.
    """
    records = sweep.frame()
    parts = []
    for criterion in criteria or criterion_names():
        rows = best_of_each_draw(records, criterion, partial=partial)
        best = select(records, criterion, partial=partial)[_KEYS].assign(chosen=True)
        merged = rows.merge(best, on=_KEYS, how="left")
        parts.append(merged.assign(selection=criterion, chosen=merged["chosen"].notna()))
    table = with_hparams(pd.concat(parts, ignore_index=True), sweep)
    first = ["selection", "chosen"]
    return table[first + [name for name in table.columns if name not in first]]


def table_path(name: str) -> Path:
    """Return ``name`` as a path. Raises InputError unless it ends in .csv or .parquet."""
    path = Path(name)
    if path.suffix not in SUFFIXES:
        raise InputError(f"{name} must end in .csv or .parquet")
    return path


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV or Parquet, by the suffix of ``path``.

    Raises InputError if pyarrow is missing, or if the file cannot be written.
    """
    content = table.to_csv(index=False) if path.suffix == ".csv" else _parquet(table)
    write_in_folder(path, content)


def _parquet(table: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    try:
        table.to_parquet(file, index=False)
    except ImportError as error:
        raise InputError(
            "a .parquet file needs pyarrow: pip install pyarrow, or write a .csv file"
        ) from error
    return file.getvalue()
