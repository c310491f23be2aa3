"""Confidence against the distance to the decision boundary, in input and in feature space.

That the two go together is what NDCL's hard negatives assume: it takes samples that the model is
unsure of for samples near the boundary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from ndcl_domainbed.diagnostics.boundary import crossing_distances, feature_distances, log_odds
from ndcl_domainbed.diagnostics.correlation import RankCorrelation, rank_correlation
from ndcl_domainbed.diagnostics.findings import Findings
from ndcl_domainbed.diagnostics.pictures import new_figure, run_style, spread_rows
from ndcl_domainbed.diagnostics.request import Request
from ndcl_domainbed.diagnostics.run_names import run_names
from ndcl_domainbed.diagnostics.saved_run import SavedRun, load_runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTION = (
    "Left: rank correlation of confidence with the distance to the decision boundary, with its 95 "
    "% bootstrap interval. Right: median distance by confidence, mean over the domains. Distances "
    "in input space are lengths of perturbations found by DeepFool, upper bounds of the true ones; "
    "images where it found none are left out (column not_crossed). The distance in feature space "
    "comes from the same logits as the confidence, so a high correlation is expected there; the "
    "input space is the test. Images of sources are training images without augmentation; the "
    "model is the final one, in evaluation mode."
)
SPACES = ("input", "feature")
_TENTHS = 10
"""Parts of equal size that the images are sorted into by confidence."""


class _Domain(NamedTuple):
    """The images of a domain, as a run sees them: arrays (N,)."""

    run: int
    name: str
    unseen: bool
    log_odds: np.ndarray
    distances: dict[str, np.ndarray]
    """By space; NaN where no perturbation was found."""
    correlations: dict[str, RankCorrelation]


def diagnose(request: Request) -> Findings:
    """Return how the confidence of every run goes with the distance to its boundary."""
    runs = load_runs(request)
    names = run_names(runs)
    domains = [
        _measure(run, index, env, request)
        for index, run in enumerate(runs)
        for env in [*run.sources, *run.dataset.test_envs]
    ]
    return Findings(CAPTION, _make_table(names, domains), _draw(names, domains))


def _measure(run: SavedRun, index: int, env: int, request: Request) -> _Domain:
    """Measure the images of a domain that is trained on, or that the run is tested on."""
    subset = run.split(env, "in", request.images, request.seed)
    seen = run.outputs(subset)
    odds = log_odds(seen.logits).numpy()
    found = [crossing_distances(run.algorithm.predict, x).cpu() for x, _ in run.batches(subset)]
    _, classifier = run.modules()
    distances = {
        "input": torch.cat(found).numpy(),
        "feature": feature_distances(classifier, seen.features, seen.logits).numpy(),
    }
    correlations = {
        space: rank_correlation(odds, distances[space], request.seed) for space in SPACES
    }
    domain, unseen = run.dataset.environments[env], env in run.dataset.test_envs
    return _Domain(index, domain, unseen, odds, distances, correlations)


def _make_table(names: list[str], domains: list[_Domain]) -> pd.DataFrame:
    """Return one row per run, domain and space."""
    return pd.DataFrame(
        {
            "run": names[domain.run],
            "domain": domain.name,
            "unseen": domain.unseen,
            "space": space,
            "images": found.n,
            "not_crossed": int(np.isnan(domain.distances[space]).sum()),
            "spearman": found.rho,
            "low": found.low,
            "high": found.high,
            "median_distance": np.nanmedian(domain.distances[space]) if found.n else np.nan,
            "median_distance_least_confident_tenth": _by_confidence(domain, space)[0],
            "median_distance_most_confident_tenth": _by_confidence(domain, space)[-1],
        }
        for domain in domains
        for space, found in domain.correlations.items()
    )


def _by_confidence(domain: _Domain, space: str) -> np.ndarray:
    """Return the median distance in each tenth of the images by confidence, (10,)."""
    distances = domain.distances[space][np.argsort(domain.log_odds, kind="stable")]
    parts = [part[np.isfinite(part)] for part in np.array_split(distances, _TENTHS)]
    return np.array([np.median(part) if part.size else np.nan for part in parts])


def _draw(names: list[str], domains: list[_Domain]) -> Figure:
    labels = list(dict.fromkeys(domain.name for domain in domains))
    figure = new_figure(12, 3.2 + 0.9 * len(labels))
    axes = figure.subplots(2, 2, width_ratios=(1, 1.2))
    for row, space in enumerate(SPACES):
        _draw_correlations(axes[row, 0], names, domains, labels, space)
        _draw_distances(axes[row, 1], names, domains, space)
    axes[0, 0].legend(loc="lower left", fontsize=8)
    axes[0, 1].legend(loc="upper left", fontsize=8)
    return figure


def _draw_correlations(
    axis: Any, names: list[str], domains: list[_Domain], labels: list[str], space: str
) -> None:
    """Draw ρ and its interval for every domain, the runs beside each other."""
    for index, name in enumerate(names):
        shift = spread_rows(len(names), index)
        mine = [domain for domain in domains if domain.run == index]
        found = [domain.correlations[space] for domain in mine]
        rho = np.array([one.rho for one in found])
        ends = np.abs(np.array([[one.low, one.high] for one in found]).T - rho)
        places = [labels.index(domain.name) + shift for domain in mine]
        axis.errorbar(rho, places, xerr=ends, linestyle="none", capsize=3, label=name,
                      **run_style(index))  # fmt: skip
    unseen, seen = ({d.name for d in domains if d.unseen is which} for which in (True, False))
    unseen -= seen  # runs of different targets
    shown = [f"{label}\n(unseen)" if label in unseen else label for label in labels]
    axis.set_yticks(range(len(labels)), shown)
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.axvline(0, color="0.6", linewidth=0.8)
    lowest = min(0.0, *(domain.correlations[space].low for domain in domains))
    axis.set_xlim(lowest - 0.05, 1.03)
    axis.set_xlabel("Spearman's ρ with its 95 % bootstrap interval")
    axis.set_title(f"confidence and distance in {space} space")
    axis.grid(axis="x", alpha=0.3)


def _draw_distances(axis: Any, names: list[str], domains: list[_Domain], space: str) -> None:
    """Draw the median distance in every tenth by confidence, sources' mean and targets'."""
    tenths = (np.arange(_TENTHS) + 0.5) * 100 / _TENTHS
    for index, name in enumerate(names):
        for unseen, line in ((False, "-"), (True, "--")):
            mine = [d for d in domains if d.run == index and d.unseen == unseen]
            medians = np.mean([_by_confidence(domain, space) for domain in mine], axis=0)
            kind = "unseen" if unseen else "sources"
            axis.plot(tenths, medians, linestyle=line, label=f"{name}, {kind}", markersize=4,
                      **run_style(index))  # fmt: skip
    axis.set_ylim(bottom=0)
    axis.set_xlabel("images by confidence, least confident first (%)")
    unit = "network's input units" if space == "input" else "features' units"
    axis.set_ylabel(f"median distance ({unit})")
    axis.set_title(f"distance to the boundary in {space} space")
    axis.grid(alpha=0.3)
