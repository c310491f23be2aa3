"""Terms of the generalization bound: margin losses, posterior discrepancy, H-divergence proxy.

The bound of Cao, Liu & Chen (ICML 2026, arXiv:2601.21999) on the target's risk has a margin loss on
the sources, the discrepancy of the posteriors between domains, and their H-divergence:

- margin loss: Pr[p_y - max over j != y of p_j <= δ], the mean over the classes of a shot group;
- discrepancy of two domains: the total variation distance of a class's mean posteriors, the mean
  over the classes that both have;
- proxy A-distance: 2 (1 - 2 error) of a linear domain classifier on features (Ben-David et al.,
  "Analysis of Representations for Domain Adaptation", NeurIPS 2006).
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch.utils.data import Subset

from imbalance_splits.labels import labels_of
from imbalance_splits.shots import GROUPS
from ndcl_domainbed.diagnostics.figures import (
    RUN_COLORS,
    label_rows,
    new_figure,
    run_style,
    spread_rows,
)
from ndcl_domainbed.diagnostics.findings import Findings, Request
from ndcl_domainbed.diagnostics.saved_run import Outputs, SavedRun, join_outputs, load_runs
from ndcl_domainbed.diagnostics.statistics import probe_accuracy, stratified_folds

CAPTION = (
    "Terms of the bound of the target's risk, estimated; lower is better. Upper row: margin loss "
    "Pr[margin <= δ], where the margin is p_y minus the largest other probability and every class "
    "of a shot group counts once; at δ = 0 it is the error. Lower left: posterior discrepancy of "
    "two domains, the total variation distance of a class's mean posteriors; bars mark what so few "
    "images have by chance, without any shift. Lower right: proxy A-distance of a linear domain "
    "classifier on features (0: it cannot tell the domains apart; 2: perfectly), with equally many "
    "images of a class from both; a lower estimate of the H-divergence. Domains are compared on "
    "the validation split of the sources and on the target, whose labels are used. The complexity "
    "of the model, the constants and the best joint error are not estimated, so the terms do not "
    "add up to a bound: compare runs with each other only."
)
DELTAS = np.linspace(-1, 1, 41)
SPLITS = {"training": ":", "validation": "--", "target": "-"}
"""The splits, and their line styles in the figure."""

MIN_IMAGES = 2  # a class is compared between two domains that have at least this many images of it
_SHUFFLES = 20


def diagnose(request: Request) -> Findings:
    """Return the terms for every run. Raises InputError for a run without shot groups."""
    runs = load_runs(request)
    for run in runs.values():
        run.shot_groups()
    rows = [row for name, run in runs.items() for row in _measure(run, name, request)]
    table = pd.DataFrame(rows)
    return Findings(CAPTION, table.drop(columns="with_target"), _draw(table))


def _measure(run: SavedRun, name: str, request: Request) -> list[dict[str, Any]]:
    """Return a row per pair of domains and term, then one per split, shot group and δ."""
    held_out = {env: _read(run, env, "val", request) for env in run.sources}
    target = _read(run, run.target, "in", request)
    domains = {**held_out, run.target: target}
    rows = [
        {"run": name, **term}
        for pair in combinations(domains, 2)
        for term in _compare(run, pair, domains, request.seed)
    ]
    parts = {
        "training": [_read(run, env, "in", request) for env in run.sources],
        "validation": list(held_out.values()),
        "target": [target],
    }
    groups = np.array(run.shot_groups())
    for split, outputs in parts.items():
        seen = join_outputs(outputs)
        margins = prediction_margins(seen.posteriors(), seen.labels.numpy())
        for group in (group for group in GROUPS if group in groups):
            classes = np.flatnonzero(groups == group)
            losses = margin_loss(margins, seen.labels.numpy(), classes, DELTAS)
            rows += [
                {"run": name, "term": "margin loss", "where": split, "shots": group,
                 "delta": delta, "value": loss}
                for delta, loss in zip(DELTAS.round(3), losses, strict=True)
            ]  # fmt: skip
    return rows


def _read(run: SavedRun, env: int, split: str, request: Request) -> Outputs:
    """Return outputs for at most ``request.images`` images of a split, evenly over the classes."""
    whole = run.split(env, split)
    labels = labels_of(whole.dataset)[np.asarray(whole.indices)]
    return run.outputs(Subset(whole, draw_evenly(labels, request.images, request.seed).tolist()))


def _compare(
    run: SavedRun, pair: tuple[int, int], domains: dict[int, Outputs], seed: int
) -> list[dict[str, Any]]:
    """Return posterior discrepancy and proxy A-distance of a pair of domains."""
    one, other = (domains[env] for env in pair)
    p, q, y, z = one.posteriors(), other.posteriors(), one.labels.numpy(), other.labels.numpy()
    mine, theirs = match_classes(y, z, seed)
    features = np.concatenate([one.features[mine], other.features[theirs]])
    which = np.repeat([0, 1], [len(mine), len(theirs)])
    probe = probe_accuracy(features, which, stratified_folds(which, seed))
    shared = {
        "where": " / ".join(run.dataset.environments[env] for env in pair),
        "with_target": run.target in pair,
        "shared_classes": len(shared_classes(y, z)),
    }
    return [
        {**shared, "term": "posterior discrepancy", "value": posterior_discrepancy(p, y, q, z),
         "by_chance": chance_discrepancy(p, y, q, z, seed)},
        {**shared, "term": "proxy A-distance", "value": proxy_distance(probe.mean),
         "by_chance": 0.0, "probe_accuracy": probe.mean, "probe_error": probe.error},
    ]  # fmt: skip


def draw_evenly(labels: np.ndarray, images: int, seed: int) -> np.ndarray:
    """Return ``images`` positions of ``labels`` (N,), spread over the classes, in order.

    The classes get as equal a number as their images allow; the images are drawn at random.
    """
    shuffled = pd.Series(labels).sample(frac=1, random_state=np.random.RandomState(seed))
    rank = shuffled.groupby(shuffled).cumcount().sort_values(kind="stable")
    return np.sort(rank.index[:images])


def prediction_margins(posteriors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the margin p_y - max over j != y of p_j of each sample, in [-1, 1], (N,).

    ``posteriors`` is (N, K), ``labels`` (N,) the true classes: below 0 the prediction is wrong.
    """
    own = np.arange(posteriors.shape[1]) == labels[:, None]
    return posteriors[own] - np.where(own, -np.inf, posteriors).max(axis=1)


def margin_loss(
    margins: np.ndarray, labels: np.ndarray, classes: np.ndarray, deltas: np.ndarray
) -> np.ndarray:
    """Return Pr[margin <= δ] for each of ``deltas`` (D,), averaged over ``classes``, (D,).

    Each class that occurs counts once, so that at δ = 0 it is 1 minus the accuracy of a shot
    group. NaN if none occurs.
    """
    present = np.intersect1d(classes, labels)
    if present.size == 0:
        return np.full(len(deltas), np.nan)
    shares = [(margins[labels == k][:, None] <= deltas).mean(axis=0) for k in present]
    return np.mean(shares, axis=0)


def shared_classes(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the classes with at least ``MIN_IMAGES`` images in both domains, ascending."""
    (mine, n), (theirs, m) = (np.unique(labels, return_counts=True) for labels in (y, z))
    return np.intersect1d(mine[n >= MIN_IMAGES], theirs[m >= MIN_IMAGES])


def posterior_discrepancy(p: np.ndarray, y: np.ndarray, q: np.ndarray, z: np.ndarray) -> float:
    """Return how far the mean posteriors of a class lie apart in two domains, in [0, 1].

    ``p`` (N, K) and ``q`` (M, K) are the posteriors, ``y`` and ``z`` the classes of their images.
    The mean over the classes that both have (:func:`shared_classes`); NaN if there is none.
    """
    apart = [
        np.abs(p[y == k].mean(axis=0) - q[z == k].mean(axis=0)).sum() for k in shared_classes(y, z)
    ]
    return float(np.mean(apart) / 2) if apart else np.nan


def chance_discrepancy(
    p: np.ndarray, y: np.ndarray, q: np.ndarray, z: np.ndarray, seed: int
) -> float:
    """Return the discrepancy that this many images have without any shift.

    The mean over 20 times in which the images of every class are dealt out to the two domains at
    random, as many to each as before.
    """
    rng = np.random.RandomState(seed)
    pooled, classes = np.concatenate([p, q]), np.concatenate([y, z])
    found = []
    for _ in range(_SHUFFLES):
        shuffled = pooled.copy()
        for k in np.unique(classes):
            members = np.flatnonzero(classes == k)
            shuffled[members] = pooled[rng.permutation(members)]
        found.append(posterior_discrepancy(shuffled[: len(y)], y, shuffled[len(y) :], z))
    return float(np.mean(found))


def match_classes(y: np.ndarray, z: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return positions in two domains with equally many images of every class in both.

    So a classifier cannot tell the domains apart by how often a class occurs.
    """
    rng = np.random.RandomState(seed)
    mine, theirs = [np.empty(0, dtype=int)], [np.empty(0, dtype=int)]
    for k in np.intersect1d(y, z):
        one, other = (rng.permutation(np.flatnonzero(labels == k)) for labels in (y, z))
        number = min(len(one), len(other))
        mine.append(one[:number])
        theirs.append(other[:number])
    return np.concatenate(mine), np.concatenate(theirs)


def proxy_distance(accuracy: float) -> float:
    """Return the proxy A-distance 2 (1 - 2 error) of a domain classifier, in [0, 2].

    A classifier that is wrong more often than chance counts as chance.
    """
    return float(np.clip(2 * (1 - 2 * (1 - accuracy)), 0, 2))


def _draw(table: pd.DataFrame) -> Figure:
    groups = [group for group in GROUPS if group in set(table["shots"])]
    figure = new_figure(4.2 * max(len(groups), 2), 8)
    upper, lower = np.asarray(figure.subfigures(2, 1, height_ratios=(1.1, 1)))
    axes = upper.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    for axis, group in zip(axes, groups, strict=True):
        for index, name in enumerate(table["run"].unique()):
            mine = table[(table["shots"] == group) & (table["run"] == name)]
            for split, line in SPLITS.items():
                rows = mine[mine["where"] == split]
                axis.plot(rows["delta"], rows["value"], linestyle=line, label=f"{name}, {split}",
                          color=RUN_COLORS[index % len(RUN_COLORS)])  # fmt: skip
        axis.axvline(0, color="0.6", linewidth=0.8)
        axis.set(xlim=(-1, 1), ylim=(0, 1.02), xticks=[-1, -0.5, 0, 0.5, 1])
        axis.set(xlabel="margin δ (difference of probabilities)")
        axis.set_title(f"margin loss, {group.title()} classes")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("Pr[margin <= δ], mean over classes")
    axes[0].legend(loc="upper left", fontsize=8)
    left, right = lower.subplots(1, 2, sharey=True)
    _draw_pairs(left, table[table["term"] == "posterior discrepancy"])
    left.set(xlim=(-0.02, 1), xlabel="posterior discrepancy (total variation, 0 to 1)")
    left.legend(loc="best", fontsize=8)
    _draw_pairs(right, table[table["term"] == "proxy A-distance"])
    right.set(xlim=(-0.02, 2.05), xlabel="proxy A-distance of the features (0 to 2)")
    return figure


def _draw_pairs(axis: Any, table: pd.DataFrame) -> None:
    """Draw a term for every pair of domains, the runs beside each other."""
    ordered = table.sort_values("with_target", kind="stable")
    labels = ordered["where"].unique().tolist()
    for index, (name, rows) in enumerate(table.groupby("run", sort=False)):
        shift = spread_rows(table["run"].nunique(), index)
        places = [labels.index(where) + shift for where in rows["where"]]
        style = {"linestyle": "none", **run_style(index)}
        axis.plot(rows["value"], places, label=name, **style)
        if rows["by_chance"].any():
            style |= {"marker": "|", "markeredgewidth": 2, "markersize": 11}
            axis.plot(rows["by_chance"], places, label=f"{name}, by chance", **style)
    label_rows(axis, labels, ordered[ordered["with_target"]]["where"], "target")
    axis.tick_params(axis="y", labelsize=8)
