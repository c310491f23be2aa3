"""Confusion matrix and calibration on the target.

The classes are in order of their training images. Calibration: Guo et al., "On Calibration of
Modern Neural Networks", ICML 2017, arXiv:1706.04599. Its expected calibration error (ECE) is the
mean gap between accuracy and confidence over bins by confidence, weighted by their images.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix
from torch.utils.data import Subset

from ndcl_domainbed.diagnostics.figures import RUN_COLORS, new_figure
from ndcl_domainbed.diagnostics.findings import Findings, Request
from ndcl_domainbed.diagnostics.saved_run import SavedRun, load_runs
from ndcl_domainbed.training.feed import evaluation_order

BINS = 15  # bins of equal width over the confidences 0 to 1, as in Guo et al. (2017)
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


def diagnose(request: Request) -> Findings:
    """Return the confusion matrix and the reliability diagram of every run on its target.

    All images of the target are looked at: those that the accuracy in the records is over.
    """
    runs = load_runs(request)
    figure = new_figure(max(5.2 * len(runs), 6), 9)
    axes = figure.subplots(2, len(runs), squeeze=False, height_ratios=(1.25, 1))
    tables = []
    for column, (name, run) in enumerate(runs.items()):
        posteriors, labels = _predict(run)
        confidence, predicted = posteriors.max(axis=1), posteriors.argmax(axis=1)
        order = np.argsort(-run.class_counts, kind="stable")
        matrix = confusion_matrix(labels, predicted, labels=order)
        bins = reliability(confidence, predicted == labels)
        summary = {"part": "all images", **summarize(matrix, run.class_counts[order], bins)}
        parts = [_tabulate(matrix, run, order), bins.assign(part="reliability"),
                 pd.DataFrame([summary])]  # fmt: skip
        tables.append(pd.concat(parts, ignore_index=True).assign(run=name))
        image = _draw_matrix(axes[0, column], matrix, run, order)
        axes[0, column].set_title(f"{name} on {run.dataset.environments[run.target]}")
        _draw_reliability(axes[1, column], bins, RUN_COLORS[column % len(RUN_COLORS)])
        error = summary["calibration_error"]
        axes[1, column].set_title(f"{name}: ECE {error:.3f}, {BINS} bins")
    figure.colorbar(image, ax=list(axes[0]), label="% of the true class's images", shrink=0.8)
    return Findings(CAPTION, pd.concat(tables, ignore_index=True), figure)


@torch.inference_mode()
def _predict(run: SavedRun) -> tuple[np.ndarray, np.ndarray]:
    """Return posteriors (N, K) and labels (N,) of the target.

    The images come in the order of the run's own evaluation: some models predict from a batch.
    """
    split = run.split(run.target, "in")
    order = evaluation_order(len(split))
    posteriors, labels = [], []
    for x, y in run.batches(Subset(split, order.tolist())):
        posteriors.append(run.algorithm.predict(x).cpu().double().softmax(dim=1))
        labels.append(y.cpu())
    return torch.cat(posteriors).numpy(), torch.cat(labels).numpy()


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """Return the data of a reliability diagram: a row for each of ``bins`` of equal width.

    ``confidence`` (N,) holds the probability of the predicted class, ``correct`` (N,) whether that
    is the true one. A bin holds the confidences above ``low`` and up to ``high``; its
    ``confidence`` and ``accuracy`` are means over its ``images``, NaN where it has none.
    """
    edges = np.linspace(0, 1, bins + 1)
    number = np.clip(np.ceil(np.asarray(confidence) * bins).astype(int) - 1, 0, bins - 1)
    images = pd.DataFrame({"confidence": confidence, "accuracy": correct.astype(float)})
    groups = images.groupby(number)
    table = groups.mean().assign(images=groups.size()).reindex(range(bins))
    table = table.assign(low=edges[:-1], high=edges[1:], images=table["images"].fillna(0))
    return table.astype({"images": int})[["low", "high", "images", "confidence", "accuracy"]]


def calibration_error(bins: pd.DataFrame) -> float:
    """Return the expected calibration error (ECE) of :func:`reliability`'s table, in [0, 1]."""
    gaps = (bins["accuracy"] - bins["confidence"]).abs()
    return float((gaps * bins["images"]).sum() / bins["images"].sum())


def summarize(matrix: np.ndarray, counts: np.ndarray, bins: pd.DataFrame) -> dict[str, Any]:
    """Return accuracy, confidence and ECE, and the shares of errors toward other classes.

    ``errors_to_more`` go to classes with more training images (``counts``), ``errors_to_fewer`` to
    classes with fewer; ``errors_to_more_if_even`` would, if errors were spread evenly.
    """
    more, fewer = counts[None, :] > counts[:, None], counts[None, :] < counts[:, None]
    wrong = matrix * ~np.eye(len(matrix), dtype=bool)
    even = wrong.sum(axis=1) @ more.sum(axis=1) / max(1, len(matrix) - 1)
    errors = wrong.sum() or np.nan
    return {
        "images": matrix.sum(),
        "accuracy": np.trace(matrix) / matrix.sum(),
        "confidence": (bins["confidence"] * bins["images"]).sum() / bins["images"].sum(),
        "calibration_error": calibration_error(bins),
        "errors_to_more": wrong[more].sum() / errors,
        "errors_to_fewer": wrong[fewer].sum() / errors,
        "errors_to_more_if_even": even / errors,
    }


def _tabulate(matrix: np.ndarray, run: SavedRun, order: np.ndarray) -> pd.DataFrame:
    """Return a row for each cell of the matrix."""
    names = [run.dataset.classes[k] for k in order]
    return pd.DataFrame(
        {
            "part": "confusion",
            "true": np.repeat(names, len(names)),
            "predicted": np.tile(names, len(names)),
            "training_images_of_true": np.repeat(run.class_counts[order], len(names)),
            "images": matrix.ravel(),
        }
    )


def _draw_matrix(axis: Any, matrix: np.ndarray, run: SavedRun, order: np.ndarray) -> Any:
    """Draw the confusion matrix, each row in percent of the class."""
    shares = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    names = [run.dataset.classes[k] for k in order]
    display = ConfusionMatrixDisplay(shares).plot(
        ax=axis, cmap="Blues", values_format=".0f", include_values=len(names) <= _MAX_NUMBERED,
        colorbar=False, im_kw={"vmin": 0, "vmax": 100}, text_kw={"fontsize": 8},
    )  # fmt: skip
    for text in display.text_.ravel() if display.text_ is not None else ():
        text.set_visible(text.get_text() != "0")
    axis.set(xticks=[], yticks=[])
    if len(names) <= _MAX_NAMED:
        axis.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 2 else 0)
        counts = run.class_counts[order]
        labels = [f"{name} ({n})" for name, n in zip(names, counts, strict=True)]
        axis.set_yticks(range(len(names)), labels)
    axis.set_xlabel("predicted class, most training images first")
    axis.set_ylabel("true class (training images)")
    return display.im_


def _draw_reliability(axis: Any, bins: pd.DataFrame, color: str) -> None:
    """Draw accuracy against confidence, and how many images have it."""
    share = bins["images"] / bins["images"].sum()
    width = bins["high"] - bins["low"]
    axis.bar(bins["low"], share, width, align="edge", color="0.85", label="share of the images")
    axis.plot([0, 1], [0, 1], color="0.4", linestyle="--", label="calibrated")
    held = bins.dropna()
    axis.plot(held["confidence"], held["accuracy"], color=color, marker="o", label="accuracy")
    axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence (mean of the bin)", ylabel="share")
    axis.legend(loc="upper left", fontsize=8)
