"""Confusion matrix and calibration: what the target's classes are mistaken for, and how surely.

The classes are in order of their training images. Calibration: Guo et al., "On Calibration of
Modern Neural Networks", ICML 2017, arXiv:1706.04599.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Subset

from imbalance_splits.seeds import seed_hash
from imbalance_splits.shots import GROUPS
from ndcl_domainbed.diagnostics.calibration import (
    BINS,
    Reliability,
    calibration_error,
    reliability,
)
from ndcl_domainbed.diagnostics.findings import Findings
from ndcl_domainbed.diagnostics.pictures import RUN_COLOURS, new_figure
from ndcl_domainbed.diagnostics.request import Request
from ndcl_domainbed.diagnostics.run_names import run_names
from ndcl_domainbed.diagnostics.saved_run import SavedRun, load_runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_NUMBERED, _MOST_NAMED = 12, 40
"""The most classes for which the picture has numbers in its cells, and names at its axes."""


class _Seen(NamedTuple):
    """What a run makes of the target: classes (K) in order of their training images."""

    name: str
    run: SavedRun
    order: np.ndarray
    matrix: np.ndarray
    """Images by true class (rows) and predicted class, int (K, K), in this order."""
    calibration: Reliability

    @property
    def classes(self) -> list[str]:
        """The names of the classes, the one with most training images first."""
        return [self.run.dataset.classes[k] for k in self.order]


def diagnose(request: Request) -> Findings:
    """Return the confusion matrix and the reliability diagram of every run on its target.

    All images of the target are looked at: those that the accuracy in the records is over.
    """
    runs = load_runs(request)
    seen = [_look(run, name) for run, name in zip(runs, run_names(runs), strict=True)]
    return Findings(
        claim=(
            "Images of an unseen domain are taken for classes with more training images, and "
            "rarely the other way round; and the model is surer than it is right."
        ),
        sentences=[sentence for one in seen for sentence in _sentences(one)],
        caveats=[
            f"The calibration error (ECE) is over {BINS} bins of equal width, of the probability "
            "of the predicted class; it depends on the number of bins.",
            "The target's classes need not be as frequent as they are in training, which alone "
            "makes a model favour the classes that it saw most.",
        ],
        table=pd.concat([_table(one) for one in seen], ignore_index=True),
        picture=_picture(seen),
    )


def _look(run: SavedRun, name: str) -> _Seen:
    posteriors, labels = _predictions(run)
    predicted = posteriors.argmax(axis=1)
    counts = run.class_counts
    order = np.argsort(-counts, kind="stable")
    rank = np.argsort(order)
    matrix = np.zeros((len(counts), len(counts)), dtype=int)
    np.add.at(matrix, (rank[labels], rank[predicted]), 1)
    found = reliability(posteriors.max(axis=1), predicted == labels)
    return _Seen(name, run, order, matrix, found)


def _predictions(run: SavedRun) -> tuple[np.ndarray, np.ndarray]:
    """Return posteriors (N, K) and labels (N,) of the target.

    The images come in the order of the run's own evaluation: some models predict from a batch.
    """
    split = run.split(run.target, "in")
    order = np.random.RandomState(seed_hash("evaluation", len(split))).permutation(len(split))
    shuffled = Subset(split, order.tolist())
    logits, labels = [], []
    with torch.inference_mode():
        for x, y in run.batches(shuffled):
            logits.append(run.algorithm.predict(x).cpu().double().softmax(dim=1))
            labels.append(y.cpu())
    return torch.cat(logits).numpy(), torch.cat(labels).numpy()


def _sentences(seen: _Seen) -> list[str]:
    """Return what the matrix and the diagram say of one run."""
    run, matrix, found = seen.run, seen.matrix, seen.calibration
    images, right = int(matrix.sum()), int(np.trace(matrix))
    domain = run.dataset.environments[run.target]
    sentences = [
        f"{seen.name}, {domain}: {right / images:.1%} of {images} images are right. "
        + _direction(seen),
        f"{seen.name} is right {_gap(found)} (mean confidence "
        f"{_mean_confidence(found):.3f}, accuracy {right / images:.3f}, ECE "
        f"{calibration_error(found):.3f}).",
    ]
    if run.dataset.shot_groups is not None:
        sentences.insert(1, _crowding(seen, run.dataset.shot_groups))
    return sentences


def _direction(seen: _Seen) -> str:
    """Return how many errors go to classes with more training images, and how many would."""
    counts, matrix = seen.run.class_counts[seen.order], seen.matrix
    more, fewer = counts[None, :] > counts[:, None], counts[None, :] < counts[:, None]
    wrong = matrix * ~np.eye(len(matrix), dtype=bool)
    errors = wrong.sum()
    if errors == 0:
        return "There are no errors."
    evenly = wrong.sum(axis=1) @ more.sum(axis=1) / (len(matrix) - 1)
    return (
        f"Of the {errors} errors {wrong[more].sum() / errors:.0%} go to a class with more training "
        f"images and {wrong[fewer].sum() / errors:.0%} to one with fewer; errors spread evenly "
        f"over the other classes would go up in {evenly / errors:.0%}."
    )


def _crowding(seen: _Seen, shots: list[str]) -> str:
    """Return how often each shot group is predicted, for each time that it is the truth."""
    groups, matrix = np.array(shots)[seen.order], seen.matrix
    parts = []
    for group in GROUPS:
        members = groups == group
        if matrix[members].sum():
            times = matrix[:, members].sum() / matrix[members].sum()
            hit = matrix[members][:, members].sum() / matrix[members].sum()
            own = np.diag(matrix)[members].sum() / matrix[members].sum()
            parts.append(
                f"{group.title()} is predicted {times:.2f} times as often as it is true "
                f"({own:.0%} of its images right, {hit - own:.0%} taken for another such class)"
            )
    return f"{seen.name}: " + "; ".join(parts) + "."


def _gap(found: Reliability) -> str:
    difference = _mean_confidence(found) - _accuracy(found)
    if abs(difference) < 0.0005:  # the figures that follow read the same
        return "as often as it is confident"
    return f"{'less' if difference > 0 else 'more'} often than it is confident"


def _mean_confidence(found: Reliability) -> float:
    return float((np.nan_to_num(found.confidence) * found.images).sum() / found.images.sum())


def _accuracy(found: Reliability) -> float:
    return float((np.nan_to_num(found.accuracy) * found.images).sum() / found.images.sum())


def _table(seen: _Seen) -> pd.DataFrame:
    """Return one row per cell of the matrix, and one per bin of the diagram."""
    places = [(i, j) for i in range(len(seen.order)) for j in range(len(seen.order))]
    counts = seen.run.class_counts[seen.order]
    cells = pd.DataFrame(
        {
            "run": seen.name,
            "part": "confusion",
            "true": [seen.classes[i] for i, _ in places],
            "predicted": [seen.classes[j] for _, j in places],
            "training_images_of_true": [int(counts[i]) for i, _ in places],
            "images": [int(seen.matrix[place]) for place in places],
        }
    )
    bins = pd.DataFrame(seen.calibration._asdict())
    return pd.concat([cells, bins.assign(run=seen.name, part="reliability")], ignore_index=True)


def _picture(seen: list[_Seen]) -> Figure:
    figure = new_figure(max(5.2 * len(seen), 6), 9)
    axes = figure.subplots(2, len(seen), squeeze=False, height_ratios=(1.25, 1))
    for column, one in enumerate(seen):
        image = _draw_matrix(axes[0, column], one)
        _draw_reliability(axes[1, column], one, RUN_COLOURS[column % len(RUN_COLOURS)])
    figure.colorbar(image, ax=list(axes[0]), label="% of the true class's images", shrink=0.8)
    return figure


def _draw_matrix(axis: Any, seen: _Seen) -> Any:
    """Draw the confusion matrix, each row in per cent of the class."""
    totals = seen.matrix.sum(axis=1, keepdims=True)
    shares = 100 * seen.matrix / np.maximum(totals, 1)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    if len(shares) <= _MOST_NUMBERED:
        for (i, j), share in np.ndenumerate(shares):
            if share >= 0.5:
                colour = "white" if share > 60 else "black"
                axis.text(j, i, f"{share:.0f}", ha="center", va="center",
                          color=colour, fontsize=8)  # fmt: skip
    counts = seen.run.class_counts[seen.order]
    if len(shares) <= _MOST_NAMED:
        named = [f"{name} ({n})" for name, n in zip(seen.classes, counts, strict=True)]
        axis.set_yticks(range(len(named)), named)
        upright = 90 if max(map(len, seen.classes)) > 2 else 0
        axis.set_xticks(range(len(named)), seen.classes, rotation=upright)
    axis.set_xlabel("predicted class, most training images first")
    axis.set_ylabel("true class (training images)")
    domain = seen.run.dataset.environments[seen.run.target]
    axis.set_title(f"{seen.name} on {domain}")
    return image


def _draw_reliability(axis: Any, seen: _Seen, colour: str) -> None:
    """Draw accuracy against confidence, and how many images have it."""
    found = seen.calibration
    width = found.high - found.low
    share = found.images / found.images.sum()
    axis.bar(found.low, share, width, align="edge", color="0.85", label="share of the images")
    held = found.images > 0
    axis.plot([0, 1], [0, 1], color="0.4", linestyle="--", label="calibrated")
    axis.plot(found.confidence[held], found.accuracy[held], color=colour, marker="o",
              label="accuracy")  # fmt: skip
    axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence (mean of the bin)", ylabel="share")
    axis.set_title(f"{seen.name}: ECE {calibration_error(found):.3f}, {BINS} bins")
    axis.legend(loc="upper left", fontsize=8)
