"""Norms, distances between domains and instability of the prototypes, against sample counts.

Reads what ``train --diagnostics`` recorded, of each run. Source of the claim: Cao, Liu & Chen,
"Negatives-Dominant Contrastive Learning for Generalization in Imbalanced Domains", ICML 2026,
arXiv:2601.21999, the prediction-central alignment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from ndcl_domainbed.diagnostics.correlation import RankCorrelation, rank_correlation
from ndcl_domainbed.diagnostics.findings import Findings
from ndcl_domainbed.diagnostics.legends import RING, add_legend, layered_style
from ndcl_domainbed.diagnostics.pictures import new_figure, use_log_scale
from ndcl_domainbed.diagnostics.request import Request
from ndcl_domainbed.diagnostics.watched_run import WatchedRun, averaged, load_watched

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = {
    "instability": "instability",
    "norm": "norm",
    "distance": "distance between domains",
}
UNSTABLE = 2.0
"""A pair is unstable if its instability is so many times the median of the run's pairs."""

_THIRDS = {"rarest": "--", "commonest": "-"}
_MOST_NAMED = 6
"""The most unstable pairs that a sentence names; the table marks all."""


class _Looked(NamedTuple):
    """The figures of one run by pair, over the whole training and (``course``) by record."""

    name: str
    run: WatchedRun
    pairs: pd.DataFrame
    """Has the columns ``unstable`` (bool) and ``third``: of the pairs by training images."""
    course: pd.DataFrame
    trends: dict[str, RankCorrelation]
    """Of each figure with the training images of a pair, over the pairs."""


def diagnose(request: Request) -> Findings:
    """Return how the prototypes of domain-class pairs depend on their sample counts.

    Raises InputError for a run that was not trained with ``--diagnostics``.
    """
    runs, names = load_watched(request)
    looked = [_look(run, name, request.seed) for run, name in zip(runs, names, strict=True)]
    return Findings(
        claim=(
            "The prototypes of rare domain-class pairs are unstable, and far from those of the "
            "same class in other domains."
        ),
        sentences=[sentence for one in looked for sentence in _sentences(one)],
        caveats=[
            "A prototype is the mean prediction of a pair's samples in one batch, in the model's "
            "training mode. Instability is the root mean square distance of the prototypes of the "
            "batches between two records to their mean, so what the model learns meanwhile is in "
            "it. Norms and distances lie in [0, 1] and [0, √2].",
            "Rare pairs show the same few images again and again, which are soon predicted alike: "
            "stable in training does not mean right on other images.",
            *(text for one in looked for text in one.run.caveats(one.name)),
        ],
        table=pd.concat([_table(one) for one in looked], ignore_index=True),
        picture=_picture(looked),
    )


def _look(run: WatchedRun, name: str, seed: int) -> _Looked:
    pairs = averaged(run.pairs, ["domain", "class", "images"])
    pairs["unstable"] = unstable(pairs["instability"].to_numpy())
    order = pairs["images"].rank(method="first")
    pairs["third"] = np.select(
        [order <= len(pairs) / 3, order > 2 * len(pairs) / 3], list(_THIRDS), "middle"
    )
    thirds = run.pairs.merge(pairs[["domain", "class", "third"]], on=["domain", "class"])
    course = averaged(thirds, ["step", "third"]).sort_values("step")
    images = pairs["images"].to_numpy()
    trends = {key: rank_correlation(images, pairs[key].to_numpy(), seed) for key in FIGURES}
    return _Looked(name, run, pairs, course, trends)


def unstable(instability: np.ndarray) -> np.ndarray:
    """Return which pairs are above ``UNSTABLE`` times the median of those with a figure, (P,)."""
    known = instability[np.isfinite(instability)]
    if not len(known):
        return np.zeros(len(instability), dtype=bool)
    return np.asarray(np.nan_to_num(instability) > UNSTABLE * np.median(known))


def _sentences(one: _Looked) -> list[str]:
    """Return what the prototypes of one run do with the number of samples."""
    parts = [f"{title} {one.trends[key].signed()}" for key, title in FIGURES.items()]
    number = one.trends["instability"].images
    answer = one.trends["instability"].falls("No, they are more stable")
    return [
        f"{one.name}: are the prototypes of rare pairs less stable? "
        f"{answer}: rank correlation with the pair's training images, "
        f"over {number} pairs with two or more batches: {', '.join(parts)}. {_course(one)}",
        _unstable_sentence(one),
    ]


def _course(one: _Looked) -> str:
    """Return how instability changes from the first record that has it to the last."""
    parts = []
    for third in _THIRDS:
        values = one.course[one.course["third"] == third].dropna(subset="instability")
        if len(values) < 2:
            return "There are too few records to say how it changes."
        first, last = values["instability"].iloc[[0, -1]]
        parts.append(f"from {first:.2g} to {last:.2g} in the {third} third of the pairs")
    return f"During training it goes {' and '.join(parts)}."


def _unstable_sentence(one: _Looked) -> str:
    """Return which pairs are flagged, and where they stand by sample count."""
    flagged = one.pairs[one.pairs["unstable"]].sort_values("instability", ascending=False)
    if flagged.empty:
        return f"{one.name}: no pair is above {UNSTABLE:g} times the median instability."
    named = [
        f"{row['domain']}/{row['class']} ({row['images']} images, {row['instability']:.2g})"
        for _, row in flagged.head(_MOST_NAMED).iterrows()
    ]
    more = f" and {len(flagged) - len(named)} more" if len(flagged) > len(named) else ""
    rare = int((flagged["third"] == "rarest").sum())
    return (
        f"{one.name}: {len(flagged)} of {len(one.pairs)} pairs are above {UNSTABLE:g} times the "
        f"median instability, {rare} of them in the rarest third: {', '.join(named)}{more}."
    )


def _table(one: _Looked) -> pd.DataFrame:
    """Return a row per pair over the whole training, then one per pair and record."""
    columns = ["domain", "class", "images", "samples", "batches", *FIGURES]
    whole = one.pairs[[*columns, "unstable"]].assign(part="training")
    whole = whole.sort_values("images", kind="stable")
    records = one.run.pairs[["step", *columns]].assign(part="record")
    table = pd.concat([whole, records], ignore_index=True).assign(run=one.name)
    table["step"] = table["step"].astype("Int64")
    return table[["run", "part", "step", *columns, "unstable"]]


def _picture(looked: list[_Looked]) -> Figure:
    figure = new_figure(15, 8)
    axes = figure.subplots(2, len(FIGURES))
    for column, (key, title) in enumerate(FIGURES.items()):
        for index, one in enumerate(looked):
            _draw_pairs(axes[0, column], one, key, layered_style(index))
            _draw_course(axes[1, column], one, key, layered_style(index))
        axes[0, column].set(
            title=f"{title} by pair", xlabel="training images of the domain-class pair"
        )
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
    add_legend(figure, [one.name for one in looked], marks)
    return figure


def _draw_pairs(axis: Any, one: _Looked, key: str, style: dict[str, Any]) -> None:
    """Draw a figure of every pair; those that are unstable have a ring."""
    axis.plot(one.pairs["images"], one.pairs[key], linestyle="none", **style)
    flagged = one.pairs[one.pairs["unstable"]]
    axis.plot(flagged["images"], flagged[key], color="0.3", **RING)
    if key == "instability":
        level = UNSTABLE * one.pairs[key].median()
        axis.axhline(level, color=style["color"], linewidth=0.8, linestyle=":")


def _draw_course(axis: Any, one: _Looked, key: str, style: dict[str, Any]) -> None:
    for third, line in _THIRDS.items():
        rows = one.course[one.course["third"] == third].dropna(subset=key)
        axis.plot(rows["step"], rows[key], linestyle=line, **style)
