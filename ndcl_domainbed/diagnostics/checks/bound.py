"""Terms of the generalization bound: margin losses, posterior discrepancy, H-divergence proxy.

The bound of Cao, Liu & Chen (ICML 2026, arXiv:2601.21999) on the target's risk has a margin loss on
the sources, the discrepancy of the posteriors between domains, and their H-divergence.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from torch.utils.data import Subset

from imbalance_splits.labels import labels_of
from imbalance_splits.shots import GROUPS
from ndcl_domainbed.diagnostics import bound_terms, probes
from ndcl_domainbed.diagnostics.findings import Findings
from ndcl_domainbed.diagnostics.pictures import RUN_COLORS, new_figure, run_style, spread_rows
from ndcl_domainbed.diagnostics.request import Request
from ndcl_domainbed.diagnostics.run_names import run_names
from ndcl_domainbed.diagnostics.saved_run import SavedRun, load_runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
"""The splits, and their line styles in the picture."""


class _Outputs(NamedTuple):
    """What a run makes of images: features (n, F), posteriors (n, K) and true classes (n,)."""

    features: np.ndarray
    posteriors: np.ndarray
    labels: np.ndarray


class _Pair(NamedTuple):
    """How far two domains lie apart."""

    domains: str
    has_target: bool
    classes: int
    discrepancy: float
    chance: float
    probe: probes.ProbeAccuracy

    @property
    def distance(self) -> float:
        """The proxy A-distance."""
        return probes.proxy_distance(self.probe.mean)


class _Estimates(NamedTuple):
    """The estimates of one run: losses (D,) by split and shot group, and pairs of domains."""

    name: str
    run: SavedRun
    losses: dict[tuple[str, str], np.ndarray]
    pairs: list[_Pair]


def diagnose(request: Request) -> Findings:
    """Return the terms for every run. Raises InputError for a run without shot groups."""
    probes.require_scikit_learn("linear_model")
    runs = load_runs(request)
    for run in runs:
        run.shot_groups()
    seen = [_estimate(run, name, request) for run, name in zip(runs, run_names(runs), strict=True)]
    return Findings(
        caption=CAPTION,
        table=pd.concat([_make_table(one) for one in seen], ignore_index=True),
        picture=_draw(seen),
    )


def _estimate(run: SavedRun, name: str, request: Request) -> _Estimates:
    training = [_read(run, env, "in", request) for env in run.sources]
    held_out = [_read(run, env, "val", request) for env in run.sources]
    target = _read(run, run.target, "in", request)
    groups = np.array(run.shot_groups())
    losses = {}
    for split, parts in zip(SPLITS, (training, held_out, [target]), strict=True):
        for group in GROUPS:
            members = np.flatnonzero(groups == group)
            if members.size:
                losses[split, group] = _loss(parts, members)
    domains = dict(zip([*run.sources, run.target], [*held_out, target], strict=True))
    pairs = [_pair(run, a, b, domains, request.seed) for a, b in combinations(domains, 2)]
    return _Estimates(name, run, losses, pairs)


def _read(run: SavedRun, env: int, split: str, request: Request) -> _Outputs:
    """Return outputs for at most ``request.images`` images of a split, evenly over the classes."""
    whole = run.split(env, split)
    labels = _labels(whole)
    drawn = bound_terms.draw_evenly(labels, request.images, request.seed)
    seen = run.outputs(Subset(whole, drawn.tolist()))
    posteriors = seen.logits.double().softmax(dim=1).numpy()
    return _Outputs(seen.features.numpy(), posteriors, seen.labels.numpy())


def _labels(subset: Subset[Any]) -> np.ndarray:
    return labels_of(subset.dataset)[np.asarray(subset.indices)]


def _loss(parts: list[_Outputs], members: np.ndarray) -> np.ndarray:
    """Return the margin loss over the classes ``members``, all domains of ``parts`` together."""
    posteriors = np.concatenate([part.posteriors for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    margins = bound_terms.prediction_margins(posteriors, labels)
    return bound_terms.margin_loss(margins, labels, members, DELTAS)


def _pair(run: SavedRun, a: int, b: int, domains: dict[int, _Outputs], seed: int) -> _Pair:
    one, other = domains[a], domains[b]
    both = one.posteriors, one.labels, other.posteriors, other.labels
    mine, theirs = bound_terms.match_classes(one.labels, other.labels, seed)
    features = np.concatenate([one.features[mine], other.features[theirs]])
    which = np.repeat([0, 1], [len(mine), len(theirs)])
    folds = probes.stratified_folds(which, seed)
    names = run.dataset.environments
    return _Pair(
        domains=f"{names[a]} / {names[b]}",
        has_target=run.target in (a, b),
        classes=len(bound_terms.shared_classes(one.labels, other.labels)),
        discrepancy=bound_terms.posterior_discrepancy(*both),
        chance=bound_terms.chance_discrepancy(*both, seed),
        probe=probes.probe_accuracy(features, which, folds),
    )


def _make_table(seen: _Estimates) -> pd.DataFrame:
    """Return one row per split, shot group and δ, and one per pair of domains and term."""
    losses = [
        {"run": seen.name, "term": "margin loss", "where": split, "shots": group, "delta": delta,
         "value": value}
        for (split, group), values in seen.losses.items()
        for delta, value in zip(DELTAS.round(3), values, strict=True)
    ]  # fmt: skip
    apart = []
    for pair in seen.pairs:
        shared = {"run": seen.name, "where": pair.domains, "shared_classes": pair.classes}
        apart += [
            {**shared, "term": "posterior discrepancy", "value": pair.discrepancy,
             "by_chance": pair.chance},
            {**shared, "term": "proxy A-distance", "value": pair.distance, "by_chance": 0.0,
             "probe_accuracy": pair.probe.mean, "probe_error": pair.probe.error},
        ]  # fmt: skip
    return pd.DataFrame([*apart, *losses])


def _draw(seen: list[_Estimates]) -> Figure:
    groups = [group for group in GROUPS if any(("target", group) in one.losses for one in seen)]
    figure = new_figure(4.2 * max(len(groups), 2), 8)
    upper, lower = np.asarray(figure.subfigures(2, 1, height_ratios=(1.1, 1)))
    axes = upper.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    for axis, group in zip(axes, groups, strict=True):
        _draw_losses(axis, seen, group)
    axes[0].set_ylabel("Pr[margin <= δ], mean over classes")
    axes[0].legend(loc="upper left", fontsize=8)
    apart = lower.subplots(1, 2, sharey=True)
    for axis, term in zip(apart, ("discrepancy", "distance"), strict=True):
        _draw_pairs(axis, seen, term)
    apart[0].legend(loc="best", fontsize=8)
    return figure


def _draw_losses(axis: Any, seen: list[_Estimates], group: str) -> None:
    for index, one in enumerate(seen):
        color = RUN_COLORS[index % len(RUN_COLORS)]
        for split, line in SPLITS.items():
            if (split, group) in one.losses:
                axis.plot(DELTAS, one.losses[split, group], linestyle=line, color=color,
                          label=f"{one.name}, {split}")  # fmt: skip
    axis.axvline(0, color="0.6", linewidth=0.8)
    axis.set(xlim=(-1, 1), ylim=(0, 1.02), xlabel="margin δ (difference of probabilities)",
             xticks=[-1, -0.5, 0, 0.5, 1])  # fmt: skip
    axis.set_title(f"margin loss, {group.title()} classes")
    axis.grid(alpha=0.3)


def _draw_pairs(axis: Any, seen: list[_Estimates], term: str) -> None:
    """Draw a term for every pair of domains, the runs beside each other."""
    pairs = sorted((pair for one in seen for pair in one.pairs), key=lambda pair: pair.has_target)
    labels = list(dict.fromkeys(pair.domains for pair in pairs))
    unseen = {pair.domains for one in seen for pair in one.pairs if pair.has_target}
    for index, one in enumerate(seen):
        shift = spread_rows(len(seen), index)
        places = [labels.index(pair.domains) + shift for pair in one.pairs]
        values = [getattr(pair, term) for pair in one.pairs]
        axis.plot(values, places, linestyle="none", label=one.name, **run_style(index))
        if term == "discrepancy":
            style = {**run_style(index), "marker": "|", "markeredgewidth": 2}
            axis.plot([pair.chance for pair in one.pairs], places, linestyle="none",
                      markersize=11, label=f"{one.name}, by chance", **style)  # fmt: skip
    shown = [f"{label}\n(target)" if label in unseen else label for label in labels]
    axis.set_yticks(range(len(labels)), shown, fontsize=8)
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.set_xlim(-0.02, 1 if term == "discrepancy" else 2.05)
    titles = {
        "discrepancy": "posterior discrepancy (total variation, 0 to 1)",
        "distance": "proxy A-distance of the features (0 to 2)",
    }
    axis.set_xlabel(titles[term])
    axis.grid(axis="x", alpha=0.3)
