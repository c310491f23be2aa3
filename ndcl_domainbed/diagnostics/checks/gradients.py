"""Gradients and amplification factor of majority and minority classes, during training.

Reads what ``train --diagnostics`` recorded. Cao, Liu & Chen, "Negatives-Dominant Contrastive
Learning for Generalization in Imbalanced Domains", ICML 2026, arXiv:2601.21999, claim in their
gradient analysis that the amplification factor A_i = P_i / Q_i, an anchor's sum over positives by
its sum over hard negatives (:func:`ndcl_domainbed.losses.amplification_factor`), grows for minority
classes.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ndcl_domainbed.diagnostics.figures import add_legend, layered_style, new_figure, use_log_scale
from ndcl_domainbed.diagnostics.findings import Findings, Request
from ndcl_domainbed.diagnostics.statistics import correlation_table
from ndcl_domainbed.diagnostics.watched_run import average_by, load_watched, missing_updates

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


def diagnose(request: Request) -> Findings:
    """Return gradients and amplification factors of the runs, Many against Few.

    Raises InputError for a run that was not trained with ``--diagnostics`` and ``--imbalance``.
    """
    runs = load_watched(request)
    tables = [
        _tabulate(run.shot_pairs(), request.seed).assign(run=name) for name, run in runs.items()
    ]
    table = pd.concat(tables, ignore_index=True).astype({"step": "Int64", "class_images": "Int64"})
    columns = ["run", "part", "step", "class", "shots", "class_images", *GRADIENTS, "samples",
               *FACTORS, "anchors", "figure", "spearman", "low", "high", "n"]  # fmt: skip
    return Findings(CAPTION + missing_updates(runs), table[columns], _draw(table))


def _tabulate(pairs: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return rows per class, shot group, shot group and record, and correlation."""
    classes = average_by(pairs, ["class", "shots", "class_images"])
    parts = [
        classes.sort_values("class_images", ascending=False).assign(part="class"),
        average_by(pairs, ["shots"]).assign(part="training"),
        average_by(pairs, ["step", "shots"]).assign(part="group"),
        correlation_table(classes[[*GRADIENTS, *FACTORS]], classes["class_images"], seed),
    ]
    return pd.concat(parts, ignore_index=True)


def _draw(table: pd.DataFrame) -> Figure:
    has_factors = table["amplification"].notna().any()
    shown = {**GRADIENTS, **FACTORS} if has_factors else GRADIENTS
    figure = new_figure(4.4 * len(shown), 7.6)
    axes = figure.subplots(2, len(shown))
    for column, (name, title) in enumerate(shown.items()):
        upper, lower = axes[:, column]
        for index, (_, rows) in enumerate(table.groupby("run", sort=False)):
            rows, style = rows.dropna(subset=name), layered_style(index)
            for group, line in _LINES.items():
                course = rows[(rows["part"] == "group") & (rows["shots"] == group)]
                upper.plot(course["step"], course[name], linestyle=line, **style)
            classes = rows[rows["part"] == "class"]
            lower.plot(classes["class_images"], classes[name], linestyle="none", **style)
        for axis in (upper, lower):
            axis.set_ylabel("mean norm × batch size" if name in GRADIENTS else "mean over anchors")
            axis.grid(alpha=0.3)
            if name == "crowding":
                axis.axhline(1, color="0.3", linewidth=0.8, linestyle=":")
            else:
                use_log_scale(axis, "y")
        upper.set(title=f"{title}, during training", xlabel="step")
        lower.set(title=f"{title}, by class", xlabel="training images of the class")
        use_log_scale(lower, "x")
    lines = {f"{group.title()} classes": {"linestyle": line} for group, line in _LINES.items()}
    add_legend(figure, table["run"].unique(), lines)
    return figure
