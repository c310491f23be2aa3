"""What each part of NDCL adds: the variants of an ablation sweep, by shot group and class.

Give the folder of a sweep such as ``sweeps/ablation.yaml`` makes, also one that is not done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ndcl_domainbed.diagnostics.findings import Findings
from ndcl_domainbed.diagnostics.pictures import new_figure, style_of
from ndcl_domainbed.diagnostics.request import Request
from ndcl_domainbed.diagnostics.variants import Compared, Estimate, Variant, compare_variants
from ndcl_domainbed.results.names import METRIC_TITLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BASE = Variant("NDCL", ())
SHOWN = ("overall", "many", "medium", "few")
TABLE = (*SHOWN, "worst", "balanced")
_CLEAR = 0.05
"""A difference that chance alone would make less often is called clear."""

_QUESTIONS = {
    (("alpha", 0), ("beta", 0)): "Contrast and alignment together (alpha, beta)",
    (("ce_weight", 0),): "The cross-entropy L_ce (ce_weight)",
    (("alpha", 0),): "The contrast L_con (alpha)",
    (("beta", 0),): "The alignment L_const (beta)",
    (("contrast", "infonce"),): "Dominant negatives against InfoNCE",
    (("contrast", "supcon"),): "Dominant negatives against SupCon",
    (("contrast", "none"),): "Dominant negatives against no contrast",
    (("kernel", "linear"),): "The kernel exp against linear",
    (("budget", "equal"),): "Hard negatives by frequency against equal shares",
    (("budget", "fixed"),): "Hard negatives by frequency against fixed shares",
    (("mixup_per_pair", True),): "One mixing weight a step against one per pair",
    (("class_prior", "inverse"),): "No class prior against inverse frequency",
    (("class_prior", "logit"),): "No class prior against logit adjustment",
    (("space", "feature"),): "Prediction space against feature space",
    (("prototype_momentum", 0.9),): "Prototypes of one batch against kept ones (0.9)",
}
"""What a variant answers by what NDCL as it is has more than it."""


def diagnose(request: Request) -> Findings:
    """Return what the variants of the sweep reach on their targets.

    Raises InputError for a folder without runs on an imbalanced split that are done.
    """
    found = compare_variants(request.folders)
    table = pd.concat([_accuracies(found), _by_class(found)], ignore_index=True)
    return Findings(
        claim=(
            "Dominant negatives, the alignment and the class-balanced cross-entropy each add to "
            "the accuracy on an unseen domain, most on Few classes."
        ),
        sentences=_sentences(found),
        caveats=[*_missing(found), *_caveats()],
        table=table,
        picture=_picture(found),
    )


def _caveats() -> list[str]:
    return [
        "Accuracies are on the target's 'in' split at the step that the balanced validation split "
        "of the sources chose. ± is the standard error over trials with the targets fixed, of the "
        "mean over targets; differences are over the (target, trial) that both variants have.",
        f"A difference is called clear if p is below {_CLEAR:.0%} in Welch's t-test over the "
        "trials: of so many comparisons about one in twenty is called so by chance.",
        "All variants have NDCL's hyper-parameters; none was tuned for itself.",
    ]


def _missing(found: Compared) -> list[str]:
    if not found.missing:
        return []
    parts = [f"{variant.name}: {len(runs)}" for variant, runs in found.missing.items()]
    return [
        f"Runs that are not done, by variant: {', '.join(parts)}.",
        "So the accuracies of two variants may be over different runs, and cannot be compared; "
        "the differences can.",
    ]


def _sentences(found: Compared) -> list[str]:
    """Return what NDCL as it is has more than every variant, in points."""
    done = [variant for variant in found.variants if variant.name in set(found.runs["variant"])]
    if BASE not in done:
        return ["No run of NDCL as it is is done: there is nothing to compare the variants with."]
    sentences = [_level(found, BASE)]
    sentences += [_versus(found, BASE, other) for other in done if other != BASE]
    plain, erm = Variant("NDCL", (("alpha", 0), ("beta", 0))), Variant("ERM", ())
    if plain in done and erm in done:
        sentences.append(_versus(found, plain, erm))
    return sentences


def _level(found: Compared, variant: Variant) -> str:
    levels = {metric: found.estimate(variant, metric) for metric in TABLE}
    parts = [f"{METRIC_TITLES[key]} {_number(one)}" for key, one in levels.items() if one.runs]
    runs = levels["overall"].runs
    return f"{variant.name} as it is reaches, in percent over {_runs(runs)}: {', '.join(parts)}."


def _versus(found: Compared, variant: Variant, other: Variant) -> str:
    """Return how much more ``variant`` has than ``other``, and whether that is clear."""
    differences = {metric: found.difference(variant, other, metric) for metric in SHOWN}
    runs = differences["overall"].runs
    question = _question(variant, other)
    if runs == 0:
        return f"{question}: no target and trial has both."
    parts = [
        f"{METRIC_TITLES[metric]} {_number(one, sign=True)}{_clear(one)}"
        for metric, one in differences.items()
        if one.runs
    ]
    return f"{question}: {', '.join(parts)} points over {_runs(runs)} of each."


def _question(variant: Variant, other: Variant) -> str:
    if variant != BASE:
        return "The re-weighted cross-entropy alone (alpha=0 beta=0) against ERM"
    if other.algorithm == BASE.algorithm and other.changes in _QUESTIONS:
        return _QUESTIONS[other.changes]
    return f"{variant.name} against {other.name}"


def _clear(one: Estimate) -> str:
    if np.isnan(one.error):
        return ""
    return " (clear)" if one.p < _CLEAR else " (not clear)"


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"


def _number(one: Estimate, *, sign: bool = False) -> str:
    mean = f"{one.mean:+.1f}" if sign else f"{one.mean:.1f}"
    return mean if np.isnan(one.error) else f"{mean} ± {one.error:.1f}"


def _accuracies(found: Compared) -> pd.DataFrame:
    """Return a row per variant: accuracies, differences to NDCL as it is, in percent."""
    rows = []
    for variant in found.variants:
        row: dict[str, Any] = {"part": "variant", "variant": variant.name}
        row["runs"] = found.estimate(variant, "overall").runs
        row["missing_runs"] = len(found.missing.get(variant, []))
        for metric in TABLE:
            value = found.estimate(variant, metric)
            change = found.difference(variant, BASE, metric)
            row |= {metric: value.mean, f"{metric}_error": value.error}
            row |= {f"{metric}_minus_ndcl": change.mean, f"{metric}_minus_ndcl_error": change.error}
        rows.append(row)
    return pd.DataFrame(rows)


def _by_class(found: Compared) -> pd.DataFrame:
    """Return a row per variant and class: mean accuracy in percent, over targets and trials."""
    groups = found.classes.groupby(["variant", "class"], sort=False)
    means = groups.agg(
        training_images=("images", "mean"), accuracy=("accuracy", "mean"), runs=("images", "size")
    ).reset_index()
    return means.assign(part="class", accuracy=100 * means["accuracy"])


def _picture(found: Compared) -> Figure:
    shown = [variant for variant in found.variants if variant.name in set(found.runs["variant"])]
    figure = new_figure(16, 2.6 + 0.36 * len(shown))
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    _draw_differences(left, found, shown)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=len(SHOWN))
    image = _draw_classes(right, found, shown)
    figure.colorbar(image, ax=right, label="accuracy (%)", shrink=0.8)
    return figure


def _draw_differences(axis: Any, found: Compared, shown: list[Variant]) -> None:
    """Draw what each variant has more than NDCL as it is; its accuracy if that is not done."""
    paired = BASE in shown
    places = np.arange(len(shown))
    for index, metric in enumerate(SHOWN):
        values = [
            found.difference(variant, BASE, metric) if paired else found.estimate(variant, metric)
            for variant in shown
        ]
        errors = np.nan_to_num([one.error for one in values])
        axis.errorbar([one.mean for one in values], places, xerr=errors, linestyle="none",
                      capsize=2, markersize=5, label=METRIC_TITLES[metric],
                      **style_of(index))  # fmt: skip
    runs = [found.estimate(variant, "overall").runs for variant in shown]
    axis.set_yticks(places, [f"{v.name}  ({n})" for v, n in zip(shown, runs, strict=True)])
    axis.set_ylim(len(shown) - 0.5, -0.5)
    axis.set_ylabel("variant (runs that are done)")
    if paired:
        axis.axvline(0, color="0.3", linewidth=0.8)
        axis.set_xlabel("points more than NDCL as it is, over runs of both, ± standard error")
        axis.set_title("accuracy on the target against NDCL as it is")
    else:
        axis.set_xlabel("accuracy on the target (%), ± standard error")
        axis.set_title("accuracy on the target")
    axis.grid(axis="x", alpha=0.3)


def _draw_classes(axis: Any, found: Compared, shown: list[Variant]) -> Any:
    """Draw the accuracy by class, the class with most training images first."""
    table = _by_class(found)
    images = table.groupby("class")["training_images"].mean().sort_values(ascending=False)
    grid = table.pivot(index="variant", columns="class", values="accuracy")
    grid = grid.reindex(index=[variant.name for variant in shown], columns=images.index)
    values = grid.to_numpy(dtype=float)
    image = axis.imshow(values, cmap="cividis", vmin=0, vmax=100, aspect="auto")
    if len(images) <= 12:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                axis.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=8,
                          color="black" if value > 55 else "white")  # fmt: skip
        named = [f"{name}\n{number:.0f}" for name, number in images.items()]
        axis.set_xticks(range(len(named)), named)
    axis.set_yticks(range(len(shown)), [""] * len(shown))
    axis.set_xlabel("class, and its mean training images")
    axis.set_title("accuracy by class (%), most training images first")
    return image
