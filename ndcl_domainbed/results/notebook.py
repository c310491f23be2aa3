"""One leaderboard as a data frame, for notebooks."""

from __future__ import annotations

import pandas as pd

from imbalance_splits.errors import InputError, unknown_name
from ndcl_domainbed.results import names, tables
from ndcl_domainbed.results.labels import base_dataset
from ndcl_domainbed.results.leaderboards import board_rows
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
    """Return one leaderboard as numbers in percent, a row per algorithm.

    The columns are pairs: a domain, "Avg" or a measure ("Many", ...) over "mean", "error" (the
    standard error over trials) and "trials"; a missing figure is NaN, as is the error of
    "Avg". ``dataset`` (with its network, as "PACS [resnet18]", if there are several) and
    ``setting`` ("none" for the ordinary split) may be left out where the records have only one.

    Raises InputError for an unknown criterion, dataset or setting, if one must be chosen, or
    without any record.
    """
    dataset = _choose("dataset", records, dataset)
    mine = board_rows(records, dataset, _choose("setting", records, setting))
    selected = select(mine, criterion, partial=partial)
    algorithms = names.ordered_algorithms(mine["algorithm"].astype(str))
    domains = names.environment_names(dataset, int(mine["n_envs"].max()))
    envs = sorted(selected["test_env"].unique().tolist())
    metrics = [m for m in names.METRICS if selected[m].notna().to_numpy().any()]
    by_domain = tables.domain_rows(selected, algorithms, len(domains), "overall", CellSource())
    measures = tables.measure_rows(selected, algorithms, envs, metrics, CellSource())
    figures = {
        algorithm: [v for cell in (*one, *other) for v in (cell.mean, cell.error, cell.trials)]
        for (algorithm, one), (_, other) in zip(by_domain, measures, strict=True)
    }
    columns = [*domains, AVERAGE, *(names.METRIC_TITLES[metric] for metric in metrics)]
    index = pd.MultiIndex.from_product([columns, ["mean", "error", "trials"]])
    frame = pd.DataFrame.from_dict(figures, orient="index", columns=index)
    numbers = {key: "int64" if key[1] == "trials" else "float64" for key in index}
    return frame.astype(numbers).rename_axis(index="algorithm")


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
