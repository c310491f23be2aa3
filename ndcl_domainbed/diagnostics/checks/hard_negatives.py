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
from ndcl_domainbed.diagnostics.pictures import RUN_COLORS, new_figure
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

CAPTION = (
    "Left and middle: t-SNE of features and of predictions, which keeps neighborhoods, not "
    "distances; the title has the accuracy ± standard error of a linear probe that tells hard "
    f"negatives from real images, cross-validated over images ({CHANCE} is chance). Right: the "
    "share of samples up to each distance to the boundary. Hard negatives are mixed as NDCL does "
    "in training, by the model at the end of the run; random mixtures of the same batches and "
    "weights show what the selection adds. Mixing weights from Beta(ρ, ρ) are mostly near 0 or 1, "
    "so many mixed samples are close to one real image; the table lists the strongly mixed ones "
    f"separately (share of the weaker image at least {STRONG}). Its column nearer_than_real is the "
    "share of pairs in which a mixed sample is nearer to the boundary than a real image (0.5: no "
    "difference)."
)
_MAX_LABELS = 20
_KINDS = {"real": "real images", "random": "random mixtures", "hard": "hard negatives"}
_LINES = {"real": ("-", "black"), "random": (":", RUN_COLORS[0]), "hard": ("--", RUN_COLORS[1])}


class _Measured(NamedTuple):
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
    seen = [_measure(run, name, request) for run, name in zip(runs, run_names(runs), strict=True)]
    return Findings(
        caption=CAPTION,
        table=pd.concat([_make_table(one) for one in seen], ignore_index=True),
        picture=_draw(seen, request.seed),
    )


def _measure(run: SavedRun, name: str, request: Request) -> _Measured:
    drawn = draw_samples(run, request.images, request.seed)
    _, classifier = run.modules()
    kinds = drawn._asdict()
    margins = {
        kind: feature_distances(classifier, one.outputs.features, one.outputs.logits).numpy()
        for kind, one in kinds.items()
    }
    probed = {"random": drawn.random, "hard": drawn.hard, "strong": _select_strong(drawn.hard)}
    probes = {
        (space, kind): _probe(drawn.real, one, space)
        for space in SPACES
        for kind, one in probed.items()
    }
    gaps = {kind: _probability_gaps(one) for kind, one in kinds.items()}
    return _Measured(name, run, drawn, margins, gaps, probes)


def _select_strong(samples: Samples) -> Samples:
    """Return the strongly mixed ones of ``samples``."""
    rows = np.flatnonzero(samples.shares >= STRONG)
    outputs = Outputs(*(column[rows] for column in samples.outputs))
    return Samples(outputs, samples.folds[rows], samples.shares[rows])


def _probability_gaps(samples: Samples) -> np.ndarray:
    """Return the difference of the two highest probabilities, (n,)."""
    top = np.sort(_vectors(samples, "prediction"), axis=1)
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


def _format_accuracy(found: ProbeAccuracy) -> str:
    return "unknown" if np.isnan(found.mean) else f"{found.mean:.2f} ± {found.error:.2f}"


def _make_table(seen: _Measured) -> pd.DataFrame:
    """Return one row per kind of sample; strongly mixed ones again by themselves."""
    strong = {kind: getattr(seen.drawn, kind).shares >= STRONG for kind in ("random", "hard")}
    rows = {kind: _make_row(seen, kind, slice(None), label) for kind, label in _KINDS.items()}
    rows["strong"] = _make_row(seen, "hard", strong["hard"], f"{_KINDS['hard']}, strongly mixed")
    rows["strong random"] = _make_row(
        seen, "random", strong["random"], f"{_KINDS['random']}, strongly mixed"
    )
    for (space, kind), found in seen.probes.items():
        rows[kind][f"{space}_probe_accuracy"], rows[kind][f"{space}_probe_error"] = found
    return pd.DataFrame(rows.values())


def _make_row(seen: _Measured, kind: str, rows: Any, label: str) -> dict[str, Any]:
    margins, gaps = seen.margins[kind][rows], seen.gaps[kind][rows]
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


def _draw(seen: list[_Measured], seed: int) -> Figure:
    figure = new_figure(15, 4.6 * len(seen) + 0.4)
    axes = figure.subplots(len(seen), 3, squeeze=False)
    for row, one in enumerate(seen):
        for column, space in enumerate(SPACES):
            colors = _draw_plane(axes[row, column], one, space, seed)
        _label_colorbar(figure.colorbar(colors, ax=axes[row, 1]), one)
        _draw_margins(axes[row, 2], one)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=2)
    return figure


def _draw_plane(axis: Any, seen: _Measured, space: str, seed: int) -> Any:
    """Draw real images by the frequency of their class, and the hard negatives among them."""
    real, hard = seen.drawn.real, seen.drawn.hard
    points = tsne_plane(np.concatenate([_vectors(real, space), _vectors(hard, space)]), seed)
    own, mixed = points[: len(real.folds)], points[len(real.folds) :]
    rank = np.argsort(np.argsort(-seen.run.class_counts, kind="stable"))
    shown = axis.scatter(*own.T, c=rank[real.outputs.labels.numpy()], cmap="viridis", s=14, vmin=0,
                         vmax=len(rank) - 1, label="real image (color: its class)")  # fmt: skip
    axis.scatter(*mixed.T, color=RUN_COLORS[1], marker="x", s=14, linewidth=0.9, alpha=0.8,
                 label="hard negative")  # fmt: skip
    axis.set(xticks=[], yticks=[], xlabel="t-SNE, first axis", ylabel="t-SNE, second axis")
    probe = _format_accuracy(seen.probes[space, "hard"])
    axis.set_title(f"{seen.name}: {space}s; linear probe {probe} (chance {CHANCE})", fontsize=10)
    return shown


def _label_colorbar(bar: Any, seen: _Measured) -> None:
    """Label the color bar with classes, most training images first."""
    counts, names = seen.run.class_counts, seen.run.dataset.classes
    order = np.argsort(-counts, kind="stable")
    places = np.unique(np.linspace(0, len(order) - 1, min(len(order), _MAX_LABELS)).astype(int))
    bar.set_ticks(places, labels=[f"{names[k]} ({counts[k]})" for k in order[places]])
    bar.ax.invert_yaxis()
    bar.set_label("class (training images)")


def _draw_margins(axis: Any, seen: _Measured) -> None:
    """Draw the share of the samples up to each margin."""
    for kind, label in _KINDS.items():
        margins = np.sort(seen.margins[kind])
        line, color = _LINES[kind]
        shares = np.arange(1, len(margins) + 1) / len(margins)
        axis.plot(margins, shares, linestyle=line, color=color, label=label)
    axis.set(ylim=(0, 1), xlabel="margin: distance to the boundary (features' units)")
    axis.set_xlim(left=0)
    axis.set_ylabel("share of the samples up to this margin")
    axis.set_title(f"{seen.name}: margins in feature space", fontsize=10)
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right", fontsize=8)
