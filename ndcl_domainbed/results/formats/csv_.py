"""One CSV table for all: a row per figure, missing ones with their reason."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from ndcl_domainbed.results.tables import Table

COLUMNS = (
    *("table", "dataset", "setting", "selection", "metric", "algorithm", "column"),
    *("mean", "error", "trials", "runs", "reason", "text"),
)


def page(head: Sequence[str], tables: Sequence[Table], counts: bool) -> str:
    """Return all figures, in percent with all digits. There is no place for ``head``."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for table in tables:
        title = table.title
        about = (
            table.kind,
            title.get("Dataset", ""),
            title.get("imbalance", "none"),
            title.get("model selection method", ""),
            title.get("measure", "Overall"),
        )
        for name, cells in table.rows:
            for column, cell in zip(table.columns, cells, strict=True):
                numbers = (None if cell.text else cell.mean, cell.error, cell.trials, cell.runs)
                reason = ": ".join(filter(None, (cell.reason, cell.details)))
                writer.writerow([*about, name, column, *numbers, reason, cell.text])
    return out.getvalue()
