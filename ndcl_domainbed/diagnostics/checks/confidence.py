"""Confidence against the distance to the decision boundary, in input and in feature space.

That the two go together is what NDCL's hard negatives assume: it takes samples that the model is
unsure of for samples near the boundary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from ndcl_domainbed.diagnostics.boundary import crossing_distances, feature_distances, log_odds
from ndcl_domainbed.diagnostics.figures import label_rows, new_figure, run_style, spread_rows
from ndcl_domainbed.diagnostics.findings import Findings, Request
from ndcl_domainbed.diagnostics.saved_run import SavedRun, frozen_note, load_runs
from ndcl_domainbed.diagnostics.statistics import rank_correlation

CAPTION = (
    "Left: rank correlation of confidence with the distance to the decision boundary, with its 95 "
    "% bootstrap interval. Right: median distance by confidence, mean over the domains. Distances "
    "in input space are lengths of perturbations found by DeepFool, upper bounds of the true ones; "
    "images where it found none are left out (column not_crossed). The distance in feature space "
    "comes from the same logits as the confidence, so a high correlation is expected there; the "
    "input space is the test. Images of sources are training images without augmentation; the "
    "model is the final one, in evaluation mode."
)
SPACES = {"input": "network's input units", "feature": "features' units"}
"""The spaces, and the units of distances there."""

_TENTHS = 10  # parts of equal size that the images are sorted into by confidence


def diagnose(request: Request) -> Findings:
    """Return how the confidence of every run goes with the distance to its boundary."""
    runs = load_runs(request)
    rows = [
        row
        for name, run in runs.items()
        for env in [*run.sources, *run.dataset.test_envs]
        for row in _measure(run, name, env, request)
    ]
    table = pd.DataFrame(rows)
    return Findings(CAPTION + frozen_note(runs), table.drop(columns="medians"), _draw(table))


def _measure(run: SavedRun, name: str, env: int, request: Request) -> list[dict[str, Any]]:
    """Return a row for each space: how a run sees images of a domain that it was trained on or not.

    ``medians`` holds the median distance in each tenth of the images by confidence.
    """
    subset = run.split(env, "in", request.images, request.seed)
    seen = run.outputs(subset)
    odds = log_odds(seen.logits).numpy()
    crossings = [crossing_distances(run.algorithm.predict, x) for x, _ in run.batches(subset)]
    classifier = run.modules()[1]
    distances = {
        "input": torch.cat(crossings).numpy(),
        "feature": feature_distances(classifier, seen.features, seen.logits).numpy(),
    }
    rows = []
    for space, values in distances.items():
        found = rank_correlation(odds, values, request.seed)
        tenths = np.array_split(values[np.argsort(odds, kind="stable")], _TENTHS)
        medians = [_median(tenth) for tenth in tenths]
        rows.append(
            {
                "run": name,
                "domain": run.dataset.environments[env],
                "unseen": env in run.dataset.test_envs,
                "space": space,
                "images": found.n,
                "not_crossed": int(np.isnan(values).sum()),
                "spearman": found.rho,
                "low": found.low,
                "high": found.high,
                "median_distance": _median(values),
                "median_distance_least_confident_tenth": medians[0],
                "median_distance_most_confident_tenth": medians[-1],
                "medians": medians,
            }
        )
    return rows


def _median(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else np.nan


def _draw(table: pd.DataFrame) -> Figure:
    figure = new_figure(12, 3.2 + 0.9 * table["domain"].nunique())
    axes = figure.subplots(2, 2, width_ratios=(1, 1.2))
    for row, (space, unit) in enumerate(SPACES.items()):
        here = table[table["space"] == space]
        _draw_correlations(axes[row, 0], here)
        axes[row, 0].set_title(f"confidence and distance in {space} space")
        _draw_distances(axes[row, 1], here)
        axes[row, 1].set_title(f"distance to the boundary in {space} space")
        axes[row, 1].set_ylabel(f"median distance ({unit})")
    axes[0, 0].legend(loc="lower left", fontsize=8)
    axes[0, 1].legend(loc="upper left", fontsize=8)
    return figure


def _draw_correlations(axis: Any, table: pd.DataFrame) -> None:
    """Draw ρ and its interval for every domain, the runs beside each other."""
    labels = table["domain"].unique().tolist()
    for index, (name, rows) in enumerate(table.groupby("run", sort=False)):
        shift = spread_rows(table["run"].nunique(), index)
        places = [labels.index(domain) + shift for domain in rows["domain"]]
        ends = (rows[["low", "high"]].T - rows["spearman"]).abs()
        axis.errorbar(rows["spearman"], places, xerr=ends, linestyle="none", capsize=3,
                      label=name, **run_style(index))  # fmt: skip
    always_unseen = table.groupby("domain")["unseen"].all()  # runs may have different targets
    label_rows(axis, labels, always_unseen.index[always_unseen], "unseen")
    axis.axvline(0, color="0.6", linewidth=0.8)
    axis.set_xlim(min(0.0, table["low"].min()) - 0.05, 1.03)
    axis.set_xlabel("Spearman's ρ with its 95 % bootstrap interval")


def _draw_distances(axis: Any, table: pd.DataFrame) -> None:
    """Draw the median distance in every tenth by confidence, sources' mean and targets'."""
    tenths = (np.arange(_TENTHS) + 0.5) * 100 / _TENTHS
    for index, (name, rows) in enumerate(table.groupby("run", sort=False)):
        for unseen, line, kind in ((False, "-", "sources"), (True, "--", "unseen")):
            medians = np.mean(rows[rows["unseen"] == unseen]["medians"].tolist(), axis=0)
            axis.plot(tenths, medians, linestyle=line, label=f"{name}, {kind}",
                      **run_style(index), markersize=4)  # fmt: skip
    axis.set_ylim(bottom=0)
    axis.set_xlabel("images by confidence, least confident first (%)")
    axis.grid(alpha=0.3)
