"""What each part of NDCL adds: the variants of an ablation sweep, by shot group and class.

Give the folder of a sweep such as ``sweeps/ablation.yaml`` makes, finished or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ndcl_domainbed.diagnostics.findings import Findings
from ndcl_domainbed.diagnostics.pictures import new_figure, run_style
from ndcl_domainbed.diagnostics.request import Request
from ndcl_domainbed.diagnostics.variants import Compared, Variant, compare_variants
from ndcl_domainbed.results.names import METRIC_TITLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BASE = Variant("NDCL", ())
SHOWN = ("overall", "many", "medium", "few")
METRICS = (*SHOWN, "worst", "balanced")

CAPTION = (
    "Left: how many points each variant has more than NDCL with its defaults, with the standard "
    "error over trials, the targets fixed; differences are over the targets and trials that both "
    "have done (if NDCL has none, accuracies are shown). Right: accuracy by class. All are on the "
    "target's 'in' split at the step that the balanced validation split of the sources selected. "
    "The table also has the accuracies, over all runs of a variant, and p of each difference "
    "(Welch's t-test over the trials): of twenty comparisons about one falls below 5 % by chance. "
    "The variants share NDCL's hyper-parameters; none was tuned."
)


def diagnose(request: Request) -> Findings:
    """Return what the variants of the sweep reach on their targets.

    Raises InputError for a folder without finished runs on an imbalanced split.
    """
    compared = compare_variants(request.folders)
    table = pd.concat([_tabulate_variants(compared), _by_class(compared)], ignore_index=True)
    return Findings(CAPTION + _missing_runs(compared), table, _draw(compared))


def _missing_runs(compared: Compared) -> str:
    """Return a note for the caption on runs that are not done, or ""."""
    parts = [f"{variant.name}: {len(runs)}" for variant, runs in compared.missing.items()]
    return f" Runs that are not done, by variant: {', '.join(parts)}." if parts else ""


def _tabulate_variants(compared: Compared) -> pd.DataFrame:
    """Return a row per variant: accuracies, differences to plain NDCL, in percent."""
    rows = []
    for variant in compared.variants:
        row: dict[str, Any] = {"part": "variant", "variant": variant.name}
        row["runs"] = compared.estimate(variant, "overall").runs
        row["missing_runs"] = len(compared.missing.get(variant, []))
        for metric in METRICS:
            value = compared.estimate(variant, metric)
            change = compared.difference(variant, BASE, metric)
            row |= {metric: value.mean, f"{metric}_error": value.error}
            name = f"{metric}_minus_ndcl"
            row |= {name: change.mean, f"{name}_error": change.error, f"{name}_p": change.p}
        rows.append(row)
    return pd.DataFrame(rows)


def _by_class(compared: Compared) -> pd.DataFrame:
    """Return a row per variant and class: mean accuracy in percent, over targets and trials."""
    groups = compared.classes.groupby(["variant", "class"], sort=False)
    means = groups.agg(
        training_images=("images", "mean"), accuracy=("accuracy", "mean"), runs=("images", "size")
    ).reset_index()
    return means.assign(part="class", accuracy=100 * means["accuracy"])


def _draw(compared: Compared) -> Figure:
    shown = [
        variant for variant in compared.variants if variant.name in set(compared.runs["variant"])
    ]
    figure = new_figure(16, 2.6 + 0.36 * len(shown))
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    _draw_differences(left, compared, shown)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=len(SHOWN))
    image = _draw_classes(right, compared, shown)
    figure.colorbar(image, ax=right, label="accuracy (%)", shrink=0.8)
    return figure


def _draw_differences(axis: Any, compared: Compared, shown: list[Variant]) -> None:
    """Draw differences to NDCL, or accuracies if NDCL has no finished run."""
    paired = BASE in shown
    places = np.arange(len(shown))
    for index, metric in enumerate(SHOWN):
        values = [
            compared.difference(variant, BASE, metric)
            if paired
            else compared.estimate(variant, metric)
            for variant in shown
        ]
        errors = np.nan_to_num([one.error for one in values])
        axis.errorbar([one.mean for one in values], places, xerr=errors, linestyle="none",
                      capsize=2, markersize=5, label=METRIC_TITLES[metric],
                      **run_style(index))  # fmt: skip
    runs = [compared.estimate(variant, "overall").runs for variant in shown]
    axis.set_yticks(places, [f"{v.name}  ({n})" for v, n in zip(shown, runs, strict=True)])
    axis.set_ylim(len(shown) - 0.5, -0.5)
    axis.set_ylabel("variant (finished runs)")
    if paired:
        axis.axvline(0, color="0.3", linewidth=0.8)
        axis.set_xlabel("points more than NDCL, over runs of both, ± standard error")
        axis.set_title("accuracy on the target against NDCL")
    else:
        axis.set_xlabel("accuracy on the target (%), ± standard error")
        axis.set_title("accuracy on the target")
    axis.grid(axis="x", alpha=0.3)


def _draw_classes(axis: Any, compared: Compared, shown: list[Variant]) -> Any:
    """Draw the accuracy by class, the class with most training images first."""
    table = _by_class(compared)
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
        labels = [f"{name}\n{number:.0f}" for name, number in images.items()]
        axis.set_xticks(range(len(labels)), labels)
    axis.set_yticks(range(len(shown)), [""] * len(shown))
    axis.set_xlabel("class, and its mean training images")
    axis.set_title("accuracy by class (%), most training images first")
    return image
