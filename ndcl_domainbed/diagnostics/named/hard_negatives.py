"""Hard negatives: do the mixed samples lie near the boundary, among the real ones?

Mixed samples are made as an update of NDCL makes them, by the model at the end of the run, whatever
algorithm trained it. Mixtures of random pairs by the same weights show what the choice adds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from ndcl_domainbed.diagnostics.boundary import feature_distances
from ndcl_domainbed.diagnostics.correlation import share_below
from ndcl_domainbed.diagnostics.findings import Findings
from ndcl_domainbed.diagnostics.mixed_samples import Drawn, Samples, draw_samples
from ndcl_domainbed.diagnostics.pictures import RUN_COLOURS, new_figure
from ndcl_domainbed.diagnostics.probes import (
    CHANCE,
    ProbeAccuracy,
    probe_accuracy,
    require_scikit_learn,
    tsne_plane,
)
from ndcl_domainbed.diagnostics.request import Request
from ndcl_domainbed.diagnostics.run_names import run_names
from ndcl_domainbed.diagnostics.saved_run import Outputs, SavedRun, load_runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPACES = ("feature", "prediction")
STRONG = 0.2
"""A mixed sample is strongly mixed if the weaker of its two images has at least this share."""

_MOST_NAMED = 20
_KINDS = {"real": "real images", "random": "random mixtures", "hard": "hard negatives"}
_LINES = {"real": ("-", "black"), "random": (":", RUN_COLOURS[0]), "hard": ("--", RUN_COLOURS[1])}


class _Seen(NamedTuple):
    """What a run makes of the samples: ``margins`` and ``gaps`` by kind, (n,) each."""

    name: str
    run: SavedRun
    drawn: Drawn
    margins: dict[str, np.ndarray]
    """The distance to the boundary in feature space."""
    gaps: dict[str, np.ndarray]
    """The two highest probabilities' difference, in [0, 1]."""
    probes: dict[tuple[str, str], ProbeAccuracy]
    """By space and kind of mixed sample (also the strongly mixed hard ones): real or mixed?"""


def diagnose(request: Request) -> Findings:
    """Return where the hard negatives of every run lie."""
    require_scikit_learn("manifold")
    runs = load_runs(request)
    seen = [_look(run, name, request) for run, name in zip(runs, run_names(runs), strict=True)]
    return Findings(
        claim=(
            "The hard negatives lie near the decision boundary, among the real samples: they are "
            "not trivially told apart from them."
        ),
        sentences=[sentence for one in seen for sentence in _sentences(one)],
        caveats=[
            "The hard negatives are made by the model at the end of the run, in evaluation mode; "
            "during training they change with the model.",
            "Most weights that Beta(ρ, ρ) gives for a small ρ are close to 0 or 1, so many mixed "
            "samples are close to one real image: hence the figures for the strongly mixed ones.",
            "The probe is linear and is tried on samples made from other images than those it was "
            "fitted to. It also sees that some classes are mixed more often than they occur; "
            "another classifier may tell more apart.",
            "t-SNE keeps neighbourhoods, not distances.",
        ],
        table=pd.concat([_table(one) for one in seen], ignore_index=True),
        picture=_picture(seen, request.seed),
    )


def _look(run: SavedRun, name: str, request: Request) -> _Seen:
    drawn = draw_samples(run, request.images, request.seed)
    _, classifier = run.modules()
    kinds = drawn._asdict()
    margins = {
        kind: feature_distances(classifier, one.outputs.features, one.outputs.logits).numpy()
        for kind, one in kinds.items()
    }
    probed = {"random": drawn.random, "hard": drawn.hard, "strong": _strong(drawn.hard)}
    probes = {
        (space, kind): _probe(drawn.real, one, space)
        for space in SPACES
        for kind, one in probed.items()
    }
    gaps = {kind: _gaps(one) for kind, one in kinds.items()}
    return _Seen(name, run, drawn, margins, gaps, probes)


def _strong(samples: Samples) -> Samples:
    """Return the strongly mixed ones of ``samples``."""
    rows = np.flatnonzero(samples.shares >= STRONG)
    outputs = Outputs(*(column[rows] for column in samples.outputs))
    return Samples(outputs, samples.folds[rows], samples.shares[rows])


def _gaps(samples: Samples) -> np.ndarray:
    """Return the difference of the two highest probabilities, (n,)."""
    top = _vectors(samples, "prediction")
    top = np.sort(top, axis=1)
    return np.asarray(top[:, -1] - top[:, -2])


def _vectors(samples: Samples, space: str) -> np.ndarray:
    """Return features (n, F) or posteriors (n, K)."""
    if space == "feature":
        return np.asarray(samples.outputs.features)
    return np.asarray(samples.outputs.logits.double().softmax(dim=1))


def _probe(real: Samples, mixed: Samples, space: str) -> ProbeAccuracy:
    """Return how well a linear probe tells mixed samples from real ones."""
    vectors = np.concatenate([_vectors(real, space), _vectors(mixed, space)])
    groups = np.repeat([0, 1], [len(real.folds), len(mixed.folds)])
    return probe_accuracy(vectors, groups, np.concatenate([real.folds, mixed.folds]))


def _sentences(seen: _Seen) -> list[str]:
    """Return what was found in one run: margins, what mixing does to them, and the probe."""
    median = {kind: _median(margins) for kind, margins in seen.margins.items()}
    real, hard = seen.margins["real"], seen.margins["hard"]
    strong = seen.drawn.hard.shares >= STRONG
    probes = ", ".join(
        f"{_accuracy(seen.probes[space, 'hard'])} in {space} space "
        f"(strongly mixed ones {_accuracy(seen.probes[space, 'strong'])}, random mixtures "
        f"{_accuracy(seen.probes[space, 'random'])})"
        for space in SPACES
    )
    return [
        f"{seen.name}: the median margin in feature space is {median['hard']} for hard negatives, "
        f"{median['random']} for random mixtures and {median['real']} for real images; a hard "
        f"negative is nearer to the boundary than a real image in {share_below(hard, real):.0%} of "
        f"the pairs, a random mixture in {share_below(seen.margins['random'], real):.0%} (50 %: no "
        "difference).",
        f"{seen.name}: {strong.mean():.0%} of the hard negatives are strongly mixed (the weaker "
        f"image has a share of {STRONG} or more), with a median margin of {_median(hard[strong])}; "
        f"that of the others is {_median(hard[~strong])}.",
        f"{seen.name}: a linear probe tells hard negatives from real images with an accuracy of "
        f"{probes}; chance is {CHANCE}.",
    ]


def _median(values: np.ndarray) -> str:
    return f"{np.median(values):.2f}" if values.size else "unknown"


def _accuracy(found: ProbeAccuracy) -> str:
    return "unknown" if np.isnan(found.mean) else f"{found.mean:.2f} ± {found.error:.2f}"


def _table(seen: _Seen) -> pd.DataFrame:
    """Return one row per kind of sample; strongly mixed ones again by themselves."""
    strong = {kind: getattr(seen.drawn, kind).shares >= STRONG for kind in ("random", "hard")}
    rows = {kind: _row(seen, kind, slice(None), label) for kind, label in _KINDS.items()}
    rows["strong"] = _row(seen, "hard", strong["hard"], f"{_KINDS['hard']}, strongly mixed")
    rows["strong random"] = _row(
        seen, "random", strong["random"], f"{_KINDS['random']}, strongly mixed"
    )
    for (space, kind), found in seen.probes.items():
        rows[kind][f"{space}_probe_accuracy"], rows[kind][f"{space}_probe_error"] = found
    return pd.DataFrame(rows.values())


def _row(seen: _Seen, kind: str, chosen: Any, label: str) -> dict[str, Any]:
    margins, gaps = seen.margins[kind][chosen], seen.gaps[kind][chosen]
    quartiles = np.percentile(margins, [25, 50, 75]) if margins.size else [np.nan] * 3
    return {
        "run": seen.name,
        "samples": label,
        "number": len(margins),
        "margin_quarter": quartiles[0],
        "margin_median": quartiles[1],
        "margin_three_quarters": quartiles[2],
        "nearer_than_real": share_below(margins, seen.margins["real"]) if margins.size else np.nan,
        "probability_gap_median": np.median(gaps) if gaps.size else np.nan,
    }


def _picture(seen: list[_Seen], seed: int) -> Figure:
    figure = new_figure(15, 4.6 * len(seen) + 0.4)
    axes = figure.subplots(len(seen), 3, squeeze=False)
    for row, one in enumerate(seen):
        for column, space in enumerate(SPACES):
            colours = _draw_plane(axes[row, column], one, space, seed)
        _name_colours(figure.colorbar(colours, ax=axes[row, 1]), one)
        _draw_margins(axes[row, 2], one)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=2)
    return figure


def _draw_plane(axis: Any, seen: _Seen, space: str, seed: int) -> Any:
    """Draw real images by the frequency of their class, and the hard negatives among them."""
    real, hard = seen.drawn.real, seen.drawn.hard
    points = tsne_plane(np.concatenate([_vectors(real, space), _vectors(hard, space)]), seed)
    own, mixed = points[: len(real.folds)], points[len(real.folds) :]
    rank = np.argsort(np.argsort(-seen.run.class_counts, kind="stable"))
    shown = axis.scatter(*own.T, c=rank[real.outputs.labels.numpy()], cmap="viridis", s=14, vmin=0,
                         vmax=len(rank) - 1, label="real image (colour: its class)")  # fmt: skip
    axis.scatter(*mixed.T, color=RUN_COLOURS[1], marker="x", s=14, linewidth=0.9, alpha=0.8,
                 label="hard negative")  # fmt: skip
    axis.set(xticks=[], yticks=[], xlabel="t-SNE, first axis", ylabel="t-SNE, second axis")
    probe = _accuracy(seen.probes[space, "hard"])
    axis.set_title(f"{seen.name}: {space}s; linear probe {probe} (chance {CHANCE})", fontsize=10)
    return shown


def _name_colours(bar: Any, seen: _Seen) -> None:
    """Write the classes, most training images first, beside the bar of their colours."""
    counts, names = seen.run.class_counts, seen.run.dataset.classes
    order = np.argsort(-counts, kind="stable")
    places = np.unique(np.linspace(0, len(order) - 1, min(len(order), _MOST_NAMED)).astype(int))
    bar.set_ticks(places, labels=[f"{names[k]} ({counts[k]})" for k in order[places]])
    bar.ax.invert_yaxis()
    bar.set_label("class (training images)")


def _draw_margins(axis: Any, seen: _Seen) -> None:
    """Draw the share of the samples up to each margin."""
    for kind, label in _KINDS.items():
        margins = np.sort(seen.margins[kind])
        line, colour = _LINES[kind]
        shares = np.arange(1, len(margins) + 1) / len(margins)
        axis.plot(margins, shares, linestyle=line, color=colour, label=label)
    axis.set(ylim=(0, 1), xlabel="margin: distance to the boundary (features' units)")
    axis.set_xlim(left=0)
    axis.set_ylabel("share of the samples up to this margin")
    axis.set_title(f"{seen.name}: margins in feature space", fontsize=10)
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right", fontsize=8)
