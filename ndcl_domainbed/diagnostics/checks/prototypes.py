"""Norms, distances between domains and instability of the prototypes, against sample counts.

Reads what ``train --diagnostics`` recorded. Cao, Liu & Chen, "Negatives-Dominant Contrastive
Learning for Generalization in Imbalanced Domains", ICML 2026, arXiv:2601.21999, claim for their
prediction-central alignment that the prototypes of rare pairs are unstable.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ndcl_domainbed.diagnostics.figures import (
    RING,
    add_legend,
    layered_style,
    new_figure,
    use_log_scale,
)
from ndcl_domainbed.diagnostics.findings import Findings, Request
from ndcl_domainbed.diagnostics.statistics import correlation_table
from ndcl_domainbed.diagnostics.watched_run import average_by, load_watched, missing_updates

UNSTABLE = 2.0
"""A pair is unstable above this multiple of the median instability of the run's pairs."""

CAPTION = (
    "A prototype is the mean prediction of the samples of a domain-class pair in one batch. Upper "
    "row: each pair over the whole training, against its training images. Lower row: means of the "
    "rarest and the commonest third of the pairs between two records. Instability is the root mean "
    "square distance of the prototypes between two records to their mean, so what the model learns "
    f"in between adds to it; rings mark pairs above {UNSTABLE:g} times the median of their run. "
    "Norms lie in [0, 1], distances in [0, √2]. Rare pairs show the same few images again and "
    "again, so stable in training does not mean right on other images. The table also has rank "
    "correlations with the training images of a pair (95 % bootstrap interval over the pairs of "
    "one run)."
)
FIGURES = {"instability": "instability", "norm": "norm", "distance": "distance between domains"}
_COUNTS = ("images", "samples", "batches")
_THIRDS = {"rarest": "--", "commonest": "-"}


def diagnose(request: Request) -> Findings:
    """Return how the prototypes of domain-class pairs depend on their sample counts.

    Raises InputError for a run that was not trained with ``--diagnostics``.
    """
    runs = load_watched(request)
    tables = [_tabulate(run.pairs, request.seed).assign(run=name) for name, run in runs.items()]
    table = pd.concat(tables, ignore_index=True)
    table = table.astype({"step": "Int64", **dict.fromkeys(_COUNTS, "Int64")})
    columns = ["run", "part", "step", "domain", "class", *_COUNTS, *FIGURES, "unstable",
               "figure", "spearman", "low", "high", "n"]  # fmt: skip
    shown = table.loc[table["part"] != "third", columns]
    return Findings(CAPTION + missing_updates(runs), shown, _draw(table))


def _tabulate(pairs: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return rows per pair, pair and record, correlation, and (for the figure) third and record."""
    training = average_by(pairs, ["domain", "class", "images"])
    training["unstable"] = is_unstable(training["instability"])
    place = training["images"].rank(method="first") / len(training)
    training["third"] = np.select([place <= 1 / 3, place > 2 / 3], list(_THIRDS), "middle")
    thirds = pairs.merge(training[["domain", "class", "third"]], on=["domain", "class"])
    parts = [
        training.sort_values("images", kind="stable").assign(part="training"),
        pairs.assign(part="record"),
        correlation_table(training[list(FIGURES)], training["images"], seed),
        average_by(thirds, ["step", "third"]).sort_values("step").assign(part="third"),
    ]
    return pd.concat(parts, ignore_index=True)


def is_unstable(instability: pd.Series) -> pd.Series:
    """Return which pairs are above ``UNSTABLE`` times the median of those with a figure, (P,)."""
    return instability > UNSTABLE * instability.median()


def _draw(table: pd.DataFrame) -> Figure:
    figure = new_figure(15, 8)
    axes = figure.subplots(2, len(FIGURES))
    runs = table["run"].unique()
    for column, (name, title) in enumerate(FIGURES.items()):
        upper, lower = axes[:, column]
        for index, run in enumerate(runs):
            rows, style = table[table["run"] == run], layered_style(index)
            _draw_pairs(upper, rows[rows["part"] == "training"], name, style)
            for third, line in _THIRDS.items():
                course = rows[(rows["part"] == "third") & (rows["third"] == third)]
                course = course.dropna(subset=name)
                lower.plot(course["step"], course[name], linestyle=line, **style)
        upper.set(title=f"{title} by pair", xlabel="training images of the domain-class pair")
        use_log_scale(upper, "x")
        lower.set(title=f"{title} during training", xlabel="step")
        for axis in (upper, lower):
            axis.set_ylabel(f"{title} (prediction space)")
            axis.grid(alpha=0.3)
            if name == "instability":
                use_log_scale(axis, "y")
            else:
                axis.set_ylim(bottom=0)
    marks: dict[str, dict[str, Any]] = {
        "unstable": RING,
        f"{UNSTABLE:g} × median of a run": {"linestyle": ":"},
        **{f"{third} third of the pairs": {"linestyle": line} for third, line in _THIRDS.items()},
    }
    add_legend(figure, runs, marks)
    return figure


def _draw_pairs(axis: Any, pairs: pd.DataFrame, name: str, style: dict[str, Any]) -> None:
    """Draw a figure of every pair, with a ring around unstable ones."""
    axis.plot(pairs["images"], pairs[name], linestyle="none", **style)
    flagged = pairs[pairs["unstable"].astype(bool)]
    axis.plot(flagged["images"], flagged[name], color="0.3", **RING)
    if name == "instability":
        level = UNSTABLE * pairs[name].median()
        axis.axhline(level, color=style["color"], linewidth=0.8, linestyle=":")
