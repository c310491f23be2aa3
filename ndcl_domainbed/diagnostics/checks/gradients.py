"""Gradients and amplification factor of majority and minority classes, during training.

Reads what ``train --diagnostics`` recorded. Cao, Liu & Chen, "Negatives-Dominant Contrastive
Learning for Generalization in Imbalanced Domains", ICML 2026, arXiv:2601.21999, claim in their
gradient analysis that the factor grows for minority classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from ndcl_domainbed.diagnostics.correlation import correlation_table
from ndcl_domainbed.diagnostics.findings import Findings
from ndcl_domainbed.diagnostics.pictures import (
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

CAPTION = (
    "Upper row: means over the samples of Many and of Few classes between two records. Lower row: "
    "means of each class over the whole training, against its training images. A gradient is the "
    "norm of the gradient of the batch's loss at a sample, times the batch size; it shrinks as the "
    "sample is learned. The amplification factor divides an anchor's sum over positives by its sum "
    "over negatives, so it grows with the positives in the batch; anchors without a positive have "
    "none. The factor of means does not depend on their number, and is above 1 where negatives are "
    "nearer than positives. With another contrast than NDCL's own, the factors are what NDCL's "
    "loss would have on the same batches. The table also has the means over the training by shot "
    "group, and rank correlations with the training images of a class (95 % bootstrap interval "
    "over the classes of one run: it does not cover other seeds)."
)
GRADIENTS = {
    "grad_logits": "gradient at the logits",
    "grad_features": "gradient at the features",
}
FACTORS = {"amplification": "amplification factor", "crowding": "factor of means"}
_LINES = {"many": "-", "few": "--"}


class _Means(NamedTuple):
    """The figures of one run: by class over the training, and by shot group and record."""

    name: str
    run: WatchedRun
    classes: pd.DataFrame
    groups: pd.DataFrame

    def has_factor(self) -> bool:
        return bool(self.classes["amplification"].notna().any())


def diagnose(request: Request) -> Findings:
    """Return gradients and amplification factors of the runs, Many against Few.

    Raises InputError for a run that was not trained with ``--diagnostics`` and ``--imbalance``.
    """
    runs, names = load_watched(request)
    means = [_compute_means(run, name) for run, name in zip(runs, names, strict=True)]
    return Findings(
        caption=CAPTION + missing_updates(runs, names),
        table=pd.concat([_make_table(one, request.seed) for one in means], ignore_index=True),
        picture=_draw(means),
    )


def _compute_means(run: WatchedRun, name: str) -> _Means:
    pairs = run.shot_pairs()
    classes = average_by(pairs, ["class", "shots", "class_images"])
    return _Means(name, run, classes, average_by(pairs, ["step", "shots"]))


def _make_table(one: _Means, seed: int) -> pd.DataFrame:
    """Return rows per class, shot group, shot group and record, and correlation."""
    figures = [*GRADIENTS, *FACTORS]
    columns = [*GRADIENTS, "samples", *FACTORS, "anchors"]
    images = one.classes["class_images"]
    parts = [
        one.classes.sort_values("class_images", ascending=False).assign(part="class"),
        average_by(one.run.pairs, ["shots"]).assign(part="training"),
        one.groups.assign(part="group"),
        correlation_table(images, {name: one.classes[name] for name in figures}, seed),
    ]
    table = pd.concat(parts, ignore_index=True).assign(run=one.name)
    table = table.astype({"step": "Int64", "class_images": "Int64"})
    first = ["run", "part", "step", "class", "shots", "class_images"]
    return table[[*first, *columns, "figure", "spearman", "low", "high", "n"]]


def _draw(means: list[_Means]) -> Figure:
    shown = {**GRADIENTS, **(FACTORS if any(one.has_factor() for one in means) else {})}
    figure = new_figure(4.4 * len(shown), 7.6)
    axes = figure.subplots(2, len(shown))
    for column, (name, title) in enumerate(shown.items()):
        for index, one in enumerate(means):
            if one.classes[name].notna().any():
                _draw_run(axes[:, column], one, name, layered_style(index))
        unit = "mean norm × batch size" if name in GRADIENTS else "mean over anchors"
        for axis in axes[:, column]:
            axis.set_ylabel(unit)
            axis.grid(alpha=0.3)
            if name == "crowding":
                axis.axhline(1, color="0.3", linewidth=0.8, linestyle=":")
            else:
                use_log_scale(axis, "y")
        axes[0, column].set(title=f"{title}, during training", xlabel="step")
        axes[1, column].set(title=f"{title}, by class", xlabel="training images of the class")
        use_log_scale(axes[1, column], "x")
    lines = {f"{group.title()} classes": {"linestyle": line} for group, line in _LINES.items()}
    add_legend(figure, [one.name for one in means], lines)
    return figure


def _draw_run(axes: Any, one: _Means, name: str, style: dict[str, Any]) -> None:
    """Draw a figure of Many and Few at the records above, and of every class below."""
    for group, line in _LINES.items():
        rows = one.groups[(one.groups["shots"] == group) & one.groups[name].notna()]
        axes[0].plot(rows["step"], rows[name], linestyle=line, **style)
    axes[1].plot(one.classes["class_images"], one.classes[name], linestyle="none", **style)
