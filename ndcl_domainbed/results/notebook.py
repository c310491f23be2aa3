"""One leaderboard as a data frame, for notebooks."""

from __future__ import annotations

import pandas as pd

from imbalance_splits.errors import InputError, unknown_name
from ndcl_domainbed.results import names, tables
from ndcl_domainbed.results.boards import board_rows
from ndcl_domainbed.results.labels import base_dataset
from ndcl_domainbed.results.selection import select
from ndcl_domainbed.results.tables import AVERAGE, CellSource


def leaderboard(
    records: pd.DataFrame,
    criterion: str = "balanced",
    *,
    dataset: str | None = None,
    setting: str | None = None,
    partial: bool = False,
) -> pd.DataFrame:
    """Return one leaderboard as shares, a row per algorithm.

    ``records`` as :func:`~ndcl_domainbed.results.load` gives them. The columns are pairs: a
    domain, "Avg" or a measure ("Many", ...) over "mean", "error" (the standard error over trials)
    and "trials"; a missing figure is NaN, as is the error of "Avg" and of a single trial.
    ``dataset`` (with its network, as "PACS [resnet18]", if there are several) and ``setting``
    ("none" for the ordinary split) may be left out where the records have only one.

    Raises InputError for an unknown criterion, dataset or setting, if one must be chosen, or
    without any record.
    """
    dataset = _choose("dataset", records, dataset)
    mine = board_rows(records, dataset, _choose("setting", records, setting))
    selected = select(mine, criterion, partial=partial)
    algorithms = names.ordered_algorithms(mine["algorithm"].astype(str))
    domains = names.environment_names(dataset, int(mine["n_envs"].max()))
    if "domain" in mine:
        cells = mine.loc[mine["test_env"] >= 0, ["test_env", "domain"]].drop_duplicates()
        for env, name in cells.itertuples(index=False, name=None):
            domains[env] = name
    envs = tables.tested_envs(selected, len(domains))
    metrics = [m for m in names.METRICS if selected[m].notna().to_numpy().any()]
    by_domain = tables.domain_rows(selected, algorithms, len(domains), "overall", CellSource())
    measures = tables.measure_rows(selected, algorithms, envs, metrics, CellSource())
    figures = {
        algorithm: [value for cell in (*one, *other) for value in _in_shares(cell)]
        for (algorithm, one), (_, other) in zip(by_domain, measures, strict=True)
    }
    columns = [*domains, AVERAGE, *(names.METRIC_TITLES[metric] for metric in metrics)]
    index = pd.MultiIndex.from_product([columns, ["mean", "error", "trials"]])
    frame = pd.DataFrame.from_dict(figures, orient="index", columns=index)
    numbers = {key: "int64" if key[1] == "trials" else "float64" for key in index}
    return frame.astype(numbers).rename_axis(index="algorithm")


def _in_shares(cell: tables.Cell) -> list[float | int | None]:
    percent = (cell.mean, cell.error)
    return [*(None if value is None else value / 100 for value in percent), cell.trials]


def _choose(kind: str, records: pd.DataFrame, wanted: str | None) -> str:
    if records.empty:
        raise InputError("there is no record yet, so there is no leaderboard")
    there = sorted(map(str, records[kind].unique()))
    if wanted is not None and wanted not in there:
        labels = [name for name in there if kind == "dataset" and base_dataset(name) == wanted]
        if not labels:
            raise unknown_name(kind, wanted, there)
        there, wanted = labels, None
    if wanted is not None:
        return wanted
    if len(there) != 1:
        raise InputError(f"the records have {len(there)} {kind}s ({', '.join(there)}); choose one")
    return there[0]
