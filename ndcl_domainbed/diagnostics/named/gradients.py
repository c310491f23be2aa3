"""Gradients and amplification factor of majority and minority classes, during training.

Reads what ``train --diagnostics`` recorded, of each run. Source of the claim: Cao, Liu & Chen,
"Negatives-Dominant Contrastive Learning for Generalization in Imbalanced Domains", ICML 2026,
arXiv:2601.21999, the gradient analysis of the contrastive loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from ndcl_domainbed.diagnostics.correlation import RankCorrelation, rank_correlation
from ndcl_domainbed.diagnostics.findings import Findings
from ndcl_domainbed.diagnostics.legends import add_legend, layered_style
from ndcl_domainbed.diagnostics.pictures import new_figure, use_log_scale
from ndcl_domainbed.diagnostics.request import Request
from ndcl_domainbed.diagnostics.watched_run import WatchedRun, averaged, load_watched

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GRADIENTS = {
    "grad_logits": "gradient at the logits",
    "grad_features": "gradient at the features",
}
FACTORS = {
    "amplification": "amplification factor",
    "crowding": "factor of means",
}
_LINES = {"many": "-", "few": "--"}


class _Looked(NamedTuple):
    """The figures of one run: by class over the whole training, and by shot group and record."""

    name: str
    run: WatchedRun
    classes: pd.DataFrame
    groups: pd.DataFrame
    trends: dict[str, RankCorrelation]
    """Of each figure with the training images of a class, over the classes."""

    def has_factor(self) -> bool:
        return bool(self.classes["amplification"].notna().any())


def diagnose(request: Request) -> Findings:
    """Return gradients and amplification factors of the runs, Many against Few.

    Raises InputError for a run that was not trained with ``--diagnostics`` and ``--imbalance``.
    """
    runs, names = load_watched(request)
    looked = [_look(run, name, request.seed) for run, name in zip(runs, names, strict=True)]
    sentences = [_gradient_sentence(one) for one in looked]
    for one in looked:
        sentences += _factor_sentences(one) if one.has_factor() else []
    return Findings(
        claim=(
            "The gradient of the negatives-dominant contrast carries a factor that grows when "
            "negatives crowd an anchor, which amplifies it for minority classes."
        ),
        sentences=sentences,
        caveats=_caveats(looked),
        table=pd.concat([_table(one) for one in looked], ignore_index=True),
        picture=_picture(looked),
    )


def _look(run: WatchedRun, name: str, seed: int) -> _Looked:
    pairs = run.shot_pairs()
    classes = averaged(pairs, ["class", "shots", "class_images"])
    images = classes["class_images"].to_numpy()
    trends = {
        figure: rank_correlation(images, classes[figure].to_numpy(), seed)
        for figure in (*GRADIENTS, *FACTORS)
    }
    return _Looked(name, run, classes, averaged(pairs, ["step", "shots"]), trends)


def _gradient_sentence(one: _Looked) -> str:
    """Return how large the gradients of the groups are."""
    parts = []
    for figure, title in GRADIENTS.items():
        many, few = (_over_training(one, group, figure) for group in _LINES)
        times = f"{few / many:.2g} times; " if many > 0 and not np.isnan(few) else ""
        parts.append(
            f"the {title} is {_known(few)} for a Few sample and {_known(many)} for a Many sample "
            f"({times}rank correlation with training images over the classes "
            f"{one.trends[figure].signed()})"
        )
    return f"{one.name}: {', '.join(parts)}."


def _factor_sentences(one: _Looked) -> list[str]:
    """Return whether the factor grows for minority anchors, by sums and by means."""
    many, few = (_over_training(one, group, "amplification") for group in _LINES)
    if np.isnan(few):
        return [f"{one.name}: no Few anchor had both a positive and a negative."]
    trend = one.trends["amplification"]
    answer = trend.falls("No, it shrinks")
    sentences = [
        f"{one.name}: does the amplification factor grow for minority anchors? {answer}: "
        f"it is {few:.3g} for Few and {_known(many)} for Many anchors; its rank correlation with "
        f"training images is {trend.signed()} over {trend.images} classes. {_course(one)}"
    ]
    many, few = (_over_training(one, group, "crowding") for group in _LINES)
    trend = one.trends["crowding"]
    return [
        *sentences,
        f"{one.name}: with means in place of the factor's sums, so without the effect of how many "
        f"positives an anchor has, it is {_known(few)} for Few and {_known(many)} for Many; rank "
        f"correlation {trend.signed()}. Above 1 the negatives are nearer than the positives.",
    ]


def _known(value: float) -> str:
    """Return a figure as text; that of a group without a class or an anchor is not known."""
    return "unknown" if np.isnan(value) else f"{value:.3g}"


def _course(one: _Looked) -> str:
    """Return how the factor of Few anchors changes between the second and the last record."""
    few = one.groups[(one.groups["shots"] == "few") & one.groups["amplification"].notna()]
    if len(few) < 3:
        return "There are too few records to say how it changes."
    first, last = few.iloc[1], few.iloc[-1]
    return (
        f"For Few anchors it goes from {first['amplification']:.3g} (up to step "
        f"{first['step']}) to {last['amplification']:.3g} (up to step {last['step']})."
    )


def _over_training(one: _Looked, group: str, figure: str) -> float:
    """Return the mean of a figure over all samples (or anchors) of a group."""
    by_group = averaged(one.run.pairs, ["shots"]).set_index("shots")
    return float(by_group[figure].get(group, np.nan))


def _caveats(looked: list[_Looked]) -> list[str]:
    caveats = [
        "A gradient is that of the batch's loss at the sample, times the samples of the batch: the "
        "gradient of the sample's own loss where the loss is a plain mean. It shrinks as a sample "
        "is learned, so small gradients need not be a fault. It is of the whole loss: NDCL's "
        "cross-entropy, in which every class counts once, gives rare samples large ones by itself.",
        "An interval is a 95 % bootstrap interval over the classes of one run: it says nothing of "
        "other seeds.",
    ]
    if any(one.has_factor() for one in looked):
        caveats.append(
            "The factor is the sum over an anchor's positives by the sum over its negatives, so it "
            "grows with the number of positives in the batch. Anchors without a second sample of "
            "their class have none, and are most of the rare ones. In a run with another contrast "
            "it is what the negatives-dominant loss would have on its batches."
        )
    return caveats + [text for one in looked for text in one.run.caveats(one.name)]


def _table(one: _Looked) -> pd.DataFrame:
    """Return a row per class over the whole training, and one per shot group and record."""
    columns = [*GRADIENTS, "samples", *FACTORS, "anchors"]
    classes = one.classes.assign(part="class")[
        ["part", "class", "shots", "class_images", *columns]
    ].sort_values("class_images", ascending=False)
    groups = one.groups.assign(part="group")[["part", "step", "shots", *columns]]
    table = pd.concat([classes, groups], ignore_index=True).assign(run=one.name)
    table["step"] = table["step"].astype("Int64")
    table["class_images"] = table["class_images"].astype("Int64")
    return table[["run", "part", "step", "class", "shots", "class_images", *columns]]


def _picture(looked: list[_Looked]) -> Figure:
    shown = {**GRADIENTS, **(FACTORS if any(one.has_factor() for one in looked) else {})}
    figure = new_figure(4.4 * len(shown), 7.6)
    axes = figure.subplots(2, len(shown))
    for column, (name, title) in enumerate(shown.items()):
        for index, one in enumerate(looked):
            if one.classes[name].notna().any():
                _draw_course(axes[0, column], one, name, layered_style(index))
                _draw_classes(axes[1, column], one, name, layered_style(index))
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
    add_legend(figure, [one.name for one in looked], lines)
    return figure


def _draw_course(axis: Any, one: _Looked, name: str, style: dict[str, Any]) -> None:
    """Draw a figure of Many and of Few at the records, each over the steps since the last."""
    for group, line in _LINES.items():
        rows = one.groups[(one.groups["shots"] == group) & one.groups[name].notna()]
        axis.plot(rows["step"], rows[name], linestyle=line, **style)


def _draw_classes(axis: Any, one: _Looked, name: str, style: dict[str, Any]) -> None:
    axis.plot(one.classes["class_images"], one.classes[name], linestyle="none", **style)
