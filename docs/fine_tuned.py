"""The check of docs/results.md with the whole network trained, beside the frozen features.

A row of docs/results/fine_tuned.csv is a run of sweeps/fine_tuned.yaml at the step that balanced
validation selects. `python docs/make_results.py --fine_tuned DIR` imports finished runs.
"""

from __future__ import annotations

import budgets
import comparison
import pandas as pd
from result_tables import format_table
from studies import BOARD, Study, domain_names

from ndcl_domainbed.results.labels import base_dataset

FINE_TUNED = Study("fine_tuned")
MEASURES = ("overall", "few")


def average_trials(rows: pd.DataFrame) -> pd.DataFrame:
    """Return (algorithm, target) x ``MEASURES`` in percent: means over trials."""
    return rows.groupby(["algorithm", "test_env"])[list(MEASURES)].mean() * 100


def frozen_rows(runs: pd.DataFrame, tuned: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of the comparison ``runs`` on the board and with the rows of ``tuned``.

    They have the default hyper-parameters, as the runs of ``tuned``.
    """
    ((dataset, setting),) = tuned[BOARD].drop_duplicates().itertuples(index=False)
    selected = comparison.select(runs[runs["hparams_seed"] == 0])
    is_board = selected["dataset"].map(base_dataset) == base_dataset(dataset)
    return selected[
        is_board & (selected["setting"] == setting) & selected["algorithm"].isin(tuned["algorithm"])
    ]


def build_parts(runs: pd.DataFrame) -> dict[str, str]:
    """Return the generated parts of the page: both tables side by side, and how they agree."""
    tuned = FINE_TUNED.whole_trials(FINE_TUNED.runs())
    if tuned.empty:
        return {"fine-tuned": "No trial is complete yet."}
    cells = average_trials(tuned)
    one, other = (
        each.groupby("algorithm").mean()
        for each in (cells, average_trials(frozen_rows(runs, tuned)))
    )
    domains = domain_names(tuned["dataset"].iloc[0])
    body = []
    for name in one["overall"].sort_values(ascending=False).index:
        pairs = [one.loc[name], *(cells.loc[name, env] for env in range(len(domains)))]
        pairs.append(other.loc[name])
        body.append([str(name), *(f"{pair.overall:.1f} / {pair.few:.1f}" for pair in pairs)])
    head = ["overall / Few", "fine-tuned", *domains, "frozen features"]
    agreement = {name: budgets.tau(one[name], other[name]) for name in MEASURES}
    line = (
        f"Kendall's tau between the {len(one)} rows in both: {agreement['overall']:+.2f} overall, "
        f"{agreement['few']:+.2f} on Few."
    )
    return {"fine-tuned": f"{format_table(head, body)}\n\n{line}"}
