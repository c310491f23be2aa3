"""One CSV table for all: a row per figure, missing ones with their reason."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from ndcl_domainbed.results.labels import network_in
from ndcl_domainbed.results.names import NO_SETTING
from ndcl_domainbed.results.tables import SELECTION, Table

BETWEEN = " | "  # stands between lines in one field: some readers cannot take a line end there
COLUMNS = (
    *("table", "dataset", "network", "setting", "selection", "metric", "algorithm", "column"),
    *("mean", "error", "trials", "runs", "reason", "text"),
    *("table_head", "table_notes", "page_head"),
)


def page(head: Sequence[str], tables: Sequence[Table], counts: bool) -> str:
    """Return all figures, in percent with all digits.

    Lines above and below a table stand beside every figure, so that programs can read it.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for table in tables:
        title = table.title
        about = (
            table.kind,
            title.get("Dataset", ""),
            title.get("network") or network_in(title.get("Dataset", "")),
            title.get("imbalance", NO_SETTING) if "Dataset" in title else "",
            title.get(SELECTION, ""),
        )
        metric = title.get("measure", "Overall")
        beside = [BETWEEN.join(lines) for lines in (table.head, table.notes, head)]
        for name, cells in table.rows:
            for column, cell in zip(table.columns, cells, strict=True):
                numbers = (None if cell.text else cell.mean, cell.error, cell.trials, cell.runs)
                measure = column if table.kind == "measures" else metric
                writer.writerow(
                    [*about, measure, name, column, *numbers, cell.reason, cell.text, *beside]
                )
    return out.getvalue()
