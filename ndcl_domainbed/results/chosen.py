"""Tables of runs at their selected steps, with their hyper-parameters, for other programs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from imbalance_splits.errors import InputError, needs_package
from imbalance_splits.whole_files import write_in_folder
from ndcl_domainbed.results.details import add_domains, hparams_columns, name_classes
from ndcl_domainbed.results.labels import without_folders
from ndcl_domainbed.results.reading import Sweep
from ndcl_domainbed.results.selection import best_of_each_draw, criterion_names, select

if TYPE_CHECKING:
    from ndcl_domainbed.results.leaderboards import Leaderboards

KEYS = ["run", "dataset", "setting", "algorithm", "test_env", "trial_seed", "hparams_seed"]
SUFFIXES = (".csv", ".parquet")


def with_hparams(selected: pd.DataFrame, sweep: Sweep) -> pd.DataFrame:
    """Return selected records with their domain's name, and a column for each hyper-parameter.

    ``hparams.NAME`` is NaN where a run lacks it.
    """
    runs = sweep.runs[[*KEYS, "meta"]].drop_duplicates(KEYS, keep="last")
    plain = selected.astype(dict.fromkeys(KEYS[:4], object))
    merged = plain.merge(runs.astype(dict.fromkeys(KEYS[:4], object)), on=KEYS, how="left")
    hparams = hparams_columns(merged.pop("meta"))
    hparams = hparams.map(lambda one: without_folders(one) if isinstance(one, str) else one)
    return pd.concat([add_domains(name_classes(merged), sweep.runs), hparams], axis=1)


def selected_hparams(sweep: Sweep, built: Sequence[Leaderboards]) -> pd.DataFrame:
    """Return what each criterion chose, with its hyper-parameters: a row per cell and trial."""
    parts = [one.selected.assign(selection=one.criterion) for one in built if len(one.selected)]
    if not parts:
        return pd.DataFrame(columns=["selection", *KEYS])
    return _describe_runs(pd.concat(parts, ignore_index=True), sweep, ["selection"])


def _describe_runs(selected: pd.DataFrame, sweep: Sweep, first: list[str]) -> pd.DataFrame:
    """Return what :func:`with_hparams` does, without the folders above; ``first`` comes first."""
    table = with_hparams(selected, sweep)
    table["run"] = [hide_parents(str(run), sweep.roots) for run in table["run"]]
    return table[[*first, *table.columns.drop(first)]]


def hide_parents(text: str, roots: Sequence[str]) -> str:
    """Return ``text`` with paths that begin with the name of a folder that was read.

    What lies above it, such as a user's name, is of no use elsewhere.

    >>> hide_parents("/home/me/sweep/0a1b: no record", ["/home/me/sweep"])
    'sweep/0a1b: no record'
    """
    for root in sorted(roots, key=len, reverse=True):
        text = text.replace(root, Path(root).name)
    return text


def every_run(
    sweep: Sweep, criteria: Sequence[str] | None = None, *, partial: bool = False
) -> pd.DataFrame:
    """Return a row per criterion and run: its selected step, measures, and hyper-parameters.

    ``chosen`` marks the runs that the tables show, the best of their trial. If ``sweep`` was read
    with ``details``, there are the accuracies by class too. Accuracies are shares.

    Raises InputError for an unknown criterion.
    """
    records = sweep.frame()
    parts = []
    for criterion in criteria or criterion_names():
        rows = best_of_each_draw(records, criterion, partial=partial)
        best = select(records, criterion, partial=partial)[KEYS].assign(chosen=True)
        merged = rows.merge(best, on=KEYS, how="left")
        parts.append(merged.assign(selection=criterion, chosen=merged["chosen"].notna()))
    return _describe_runs(pd.concat(parts, ignore_index=True), sweep, ["selection", "chosen"])


def table_path(name: str) -> Path:
    """Return ``name`` as a path. Raises InputError unless it ends in .csv or .parquet."""
    path = Path(name)
    if path.suffix not in SUFFIXES:
        raise InputError(f"{name} must end in .csv or .parquet")
    return path


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV or Parquet, by its suffix; InputError if it cannot be written."""
    file = io.BytesIO()
    with needs_package("a .parquet file needs pyarrow: pip install pyarrow, or write a .csv file"):
        (table.to_csv if path.suffix == ".csv" else table.to_parquet)(file, index=False)
    write_in_folder(path, file.getvalue())
