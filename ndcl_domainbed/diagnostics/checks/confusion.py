"""Confusion matrix and calibration on the target.

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
from ndcl_domainbed.diagnostics.calibration import (
    BINS,
    Reliability,
    calibration_error,
    reliability,
)
from ndcl_domainbed.diagnostics.findings import Findings
from ndcl_domainbed.diagnostics.pictures import RUN_COLORS, new_figure
from ndcl_domainbed.diagnostics.request import Request
from ndcl_domainbed.diagnostics.run_names import run_names
from ndcl_domainbed.diagnostics.saved_run import SavedRun, load_runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTION = (
    "Upper row: predictions on the target in percent of each true class, classes in order of their "
    "training images; entries left of the diagonal go to more common classes. Lower row: accuracy "
    f"against confidence in {BINS} bins of equal width; below the dashed line a model is "
    "overconfident. ECE, the expected calibration error, is the mean gap between the two, and "
    "depends on the number of bins. The target's classes need not be as frequent as in training, "
    "which alone makes a model favor common ones. The table also has, over all images, accuracy, "
    "mean confidence and the share of errors that go to classes with more training images, beside "
    "the share if errors were spread evenly."
)
_MAX_NUMBERED, _MAX_NAMED = 12, 40
"""Up to this many classes, cells have numbers and axes have class names."""


class _Predictions(NamedTuple):
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
    seen = [_evaluate(run, name) for run, name in zip(runs, run_names(runs), strict=True)]
    return Findings(
        caption=CAPTION,
        table=pd.concat([_make_table(one) for one in seen], ignore_index=True),
        picture=_draw(seen),
    )


def _evaluate(run: SavedRun, name: str) -> _Predictions:
    posteriors, labels = _predict(run)
    predicted = posteriors.argmax(axis=1)
    counts = run.class_counts
    order = np.argsort(-counts, kind="stable")
    rank = np.argsort(order)
    matrix = np.zeros((len(counts), len(counts)), dtype=int)
    np.add.at(matrix, (rank[labels], rank[predicted]), 1)
    found = reliability(posteriors.max(axis=1), predicted == labels)
    return _Predictions(name, run, order, matrix, found)


def _predict(run: SavedRun) -> tuple[np.ndarray, np.ndarray]:
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


def _make_table(seen: _Predictions) -> pd.DataFrame:
    """Return a row per cell of the matrix, per bin of the diagram, and one that sums up."""
    places = [(i, j) for i in range(len(seen.order)) for j in range(len(seen.order))]
    counts = seen.run.class_counts[seen.order]
    cells = pd.DataFrame(
        {
            "part": "confusion",
            "true": [seen.classes[i] for i, _ in places],
            "predicted": [seen.classes[j] for _, j in places],
            "training_images_of_true": [int(counts[i]) for i, _ in places],
            "images": [int(seen.matrix[place]) for place in places],
        }
    )
    bins = pd.DataFrame(seen.calibration._asdict()).assign(part="reliability")
    summary = pd.DataFrame([_summarize(seen)]).assign(part="all images")
    return pd.concat([cells, bins, summary], ignore_index=True).assign(run=seen.name)


def _summarize(seen: _Predictions) -> dict[str, float]:
    """Return accuracy, confidence and ECE, and the shares of errors towards other classes.

    ``errors_to_more`` go to classes with more training images, ``errors_to_fewer`` to classes with
    fewer; ``errors_to_more_if_even`` would, if errors were spread evenly over the other classes.
    """
    counts, matrix = seen.run.class_counts[seen.order], seen.matrix
    more, fewer = counts[None, :] > counts[:, None], counts[None, :] < counts[:, None]
    wrong = matrix * ~np.eye(len(matrix), dtype=bool)
    even = wrong.sum(axis=1) @ more.sum(axis=1) / max(1, len(matrix) - 1)
    errors = wrong.sum() or np.nan
    found = seen.calibration
    confidence = (np.nan_to_num(found.confidence) * found.images).sum() / found.images.sum()
    return {
        "images": matrix.sum(),
        "accuracy": np.trace(matrix) / matrix.sum(),
        "confidence": confidence,
        "calibration_error": calibration_error(found),
        "errors_to_more": wrong[more].sum() / errors,
        "errors_to_fewer": wrong[fewer].sum() / errors,
        "errors_to_more_if_even": even / errors,
    }


def _draw(seen: list[_Predictions]) -> Figure:
    figure = new_figure(max(5.2 * len(seen), 6), 9)
    axes = figure.subplots(2, len(seen), squeeze=False, height_ratios=(1.25, 1))
    for column, one in enumerate(seen):
        image = _draw_matrix(axes[0, column], one)
        _draw_reliability(axes[1, column], one, RUN_COLORS[column % len(RUN_COLORS)])
    figure.colorbar(image, ax=list(axes[0]), label="% of the true class's images", shrink=0.8)
    return figure


def _draw_matrix(axis: Any, seen: _Predictions) -> Any:
    """Draw the confusion matrix, each row in per cent of the class."""
    totals = seen.matrix.sum(axis=1, keepdims=True)
    shares = 100 * seen.matrix / np.maximum(totals, 1)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    if len(shares) <= _MAX_NUMBERED:
        for (i, j), share in np.ndenumerate(shares):
            if share >= 0.5:
                color = "white" if share > 60 else "black"
                axis.text(j, i, f"{share:.0f}", ha="center", va="center",
                          color=color, fontsize=8)  # fmt: skip
    counts = seen.run.class_counts[seen.order]
    if len(shares) <= _MAX_NAMED:
        labels = [f"{name} ({n})" for name, n in zip(seen.classes, counts, strict=True)]
        axis.set_yticks(range(len(labels)), labels)
        upright = 90 if max(map(len, seen.classes)) > 2 else 0
        axis.set_xticks(range(len(labels)), seen.classes, rotation=upright)
    axis.set_xlabel("predicted class, most training images first")
    axis.set_ylabel("true class (training images)")
    domain = seen.run.dataset.environments[seen.run.target]
    axis.set_title(f"{seen.name} on {domain}")
    return image


def _draw_reliability(axis: Any, seen: _Predictions, color: str) -> None:
    """Draw accuracy against confidence, and how many images have it."""
    found = seen.calibration
    width = found.high - found.low
    share = found.images / found.images.sum()
    axis.bar(found.low, share, width, align="edge", color="0.85", label="share of the images")
    held = found.images > 0
    axis.plot([0, 1], [0, 1], color="0.4", linestyle="--", label="calibrated")
    axis.plot(found.confidence[held], found.accuracy[held], color=color, marker="o",
              label="accuracy")  # fmt: skip
    axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence (mean of the bin)", ylabel="share")
    axis.set_title(f"{seen.name}: ECE {calibration_error(found):.3f}, {BINS} bins")
    axis.legend(loc="upper left", fontsize=8)
