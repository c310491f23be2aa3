"""One leaderboard as a data frame, for notebooks."""

from __future__ import annotations

from itertools import chain

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
    columns = [*domains, AVERAGE, *(names.METRIC_TITLES[metric] for metric in metrics)]
    rows = {}
    for (algorithm, one), (_, other) in zip(by_domain, measures, strict=True):
        figures = [(cell.mean, cell.error, cell.trials) for cell in (*one, *other)]
        rows[algorithm] = list(chain(*figures))
    index = pd.MultiIndex.from_product([columns, ["mean", "error", "trials"]])
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=index)
    kinds = {key: "int64" if key[1] == "trials" else "float64" for key in index}
    scale = [1 if kind == "int64" else 100 for kind in kinds.values()]
    return (frame.astype(kinds) / scale).astype(kinds).rename_axis(index="algorithm")


def _choose(kind: str, records: pd.DataFrame, wanted: str | None) -> str:
    if records.empty:
        raise InputError("there is no record yet, so there is no leaderboard")
    there = sorted(map(str, records[kind].unique()))
    fit = there if wanted is None else [name for name in there if name == wanted]
    if not fit and kind == "dataset":
        fit = [name for name in there if base_dataset(name) == wanted]
    if not fit:
        raise unknown_name(kind, wanted, there)
    if len(fit) > 1:
        raise InputError(f"the records have {len(fit)} {kind}s ({', '.join(fit)}); choose one")
    return fit[0]
