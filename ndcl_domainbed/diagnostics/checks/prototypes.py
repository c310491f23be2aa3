"""Norms, distances between domains and instability of the prototypes, against sample counts.

Reads what ``train --diagnostics`` recorded. Cao, Liu & Chen, "Negatives-Dominant Contrastive
Learning for Generalization in Imbalanced Domains", ICML 2026, arXiv:2601.21999, claim for their
prediction-central alignment that the prototypes of rare pairs are unstable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from ndcl_domainbed.diagnostics.correlation import correlation_table
from ndcl_domainbed.diagnostics.findings import Findings
from ndcl_domainbed.diagnostics.pictures import (
    RING,
    add_legend,
    layered_style,
    new_figure,
    use_log_scale,
)
from ndcl_domainbed.diagnostics.request import Request
from ndcl_domainbed.diagnostics.watched_run import (
    WatchedRun,
    average_by,
    load_watched,
    missing_updates,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


class _Means(NamedTuple):
    """The figures of one run by pair, over the whole training and (``course``) by record.

    ``pairs`` has the columns ``unstable`` (bool) and ``third`` (of the pairs by training images).
    """

    name: str
    run: WatchedRun
    pairs: pd.DataFrame
    course: pd.DataFrame


def diagnose(request: Request) -> Findings:
    """Return how the prototypes of domain-class pairs depend on their sample counts.

    Raises InputError for a run that was not trained with ``--diagnostics``.
    """
    runs, names = load_watched(request)
    means = [_compute_means(run, name) for run, name in zip(runs, names, strict=True)]
    return Findings(
        caption=CAPTION + missing_updates(runs, names),
        table=pd.concat([_make_table(one, request.seed) for one in means], ignore_index=True),
        picture=_draw(means),
    )


def _compute_means(run: WatchedRun, name: str) -> _Means:
    pairs = average_by(run.pairs, ["domain", "class", "images"])
    pairs["unstable"] = is_unstable(pairs["instability"].to_numpy())
    order = pairs["images"].rank(method="first")
    pairs["third"] = np.select(
        [order <= len(pairs) / 3, order > 2 * len(pairs) / 3], list(_THIRDS), "middle"
    )
    thirds = run.pairs.merge(pairs[["domain", "class", "third"]], on=["domain", "class"])
    return _Means(name, run, pairs, average_by(thirds, ["step", "third"]).sort_values("step"))


def is_unstable(instability: np.ndarray) -> np.ndarray:
    """Return which pairs are above ``UNSTABLE`` times the median of those with a figure, (P,)."""
    known = instability[np.isfinite(instability)]
    if not len(known):
        return np.zeros(len(instability), dtype=bool)
    return np.asarray(np.nan_to_num(instability) > UNSTABLE * np.median(known))


def _make_table(one: _Means, seed: int) -> pd.DataFrame:
    """Return rows per pair, per pair and record, and per correlation."""
    parts = [
        one.pairs.sort_values("images", kind="stable").assign(part="training"),
        one.run.pairs.assign(part="record"),
        correlation_table(one.pairs["images"], {key: one.pairs[key] for key in FIGURES}, seed),
    ]
    table = pd.concat(parts, ignore_index=True).assign(run=one.name)
    table = table.astype({"step": "Int64", **dict.fromkeys(_COUNTS, "Int64")})
    columns = ["run", "part", "step", "domain", "class", *_COUNTS, *FIGURES, "unstable"]
    return table[[*columns, "figure", "spearman", "low", "high", "n"]]


def _draw(means: list[_Means]) -> Figure:
    figure = new_figure(15, 8)
    axes = figure.subplots(2, len(FIGURES))
    for column, (key, title) in enumerate(FIGURES.items()):
        for index, one in enumerate(means):
            _draw_pairs(axes[0, column], one, key, layered_style(index))
            for third, line in _THIRDS.items():
                rows = one.course[one.course["third"] == third].dropna(subset=key)
                axes[1, column].plot(
                    rows["step"], rows[key], linestyle=line, **layered_style(index)
                )
        pair_label = "training images of the domain-class pair"
        axes[0, column].set(title=f"{title} by pair", xlabel=pair_label)
        use_log_scale(axes[0, column], "x")
        axes[1, column].set(title=f"{title} during training", xlabel="step")
        for axis in axes[:, column]:
            axis.set_ylabel(f"{title} (prediction space)")
            axis.grid(alpha=0.3)
            if key == "instability":
                use_log_scale(axis, "y")
            else:
                axis.set_ylim(bottom=0)
    marks: dict[str, dict[str, Any]] = {
        "unstable": RING,
        f"{UNSTABLE:g} × median of a run": {"linestyle": ":"},
        **{f"{third} third of the pairs": {"linestyle": line} for third, line in _THIRDS.items()},
    }
    add_legend(figure, [one.name for one in means], marks)
    return figure


def _draw_pairs(axis: Any, one: _Means, key: str, style: dict[str, Any]) -> None:
    """Draw a figure of every pair, with a ring around unstable ones."""
    axis.plot(one.pairs["images"], one.pairs[key], linestyle="none", **style)
    flagged = one.pairs[one.pairs["unstable"]]
    axis.plot(flagged["images"], flagged[key], color="0.3", **RING)
    if key == "instability":
        level = UNSTABLE * one.pairs[key].median()
        axis.axhline(level, color=style["color"], linewidth=0.8, linestyle=":")
