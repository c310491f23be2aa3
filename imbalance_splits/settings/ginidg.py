"""GINIDG: fixed tables."""

from __future__ import annotations

from dataclasses import dataclass

from imbalance_splits.errors import InputError
from imbalance_splits.published import published_datasets, published_settings, published_table
from imbalance_splits.settings.base import Setting
from imbalance_splits.table import LabelCounts, SplitTable


@dataclass(frozen=True)
class GINIDG(Setting):
    """The fixed tables of Xia et al. 2023 (GINIDG) for PACS and VLCS; there is no generator."""

    def table(self, dataset: str, label_counts: LabelCounts) -> SplitTable:
        """Return the published table; InputError, which names the datasets, if there is none.

        A dataset of the name that has other domains has none.
        """
        table = published_table(dataset, "GINIDG")
        if table is not None and label_counts and set(label_counts) != set(table.domains):
            table = None
        if table is None:
            have = [name for name in published_datasets() if "GINIDG" in published_settings(name)]
            raise InputError(
                f"setting GINIDG is a fixed table and has none for {dataset}; "
                f"it has: {', '.join(have)}."
            )
        return table
