"""How far a sample is from the decision boundary, in feature space and in input space.

The boundary is that of the class that the model predicts. For a linear classifier the distance in
feature space is exact. In input space it is searched for with DeepFool (Moosavi-Dezfooli et al.,
"DeepFool: a simple and accurate method to fool deep neural networks", CVPR 2016,
arXiv:1511.04599); the perturbation found is cut by bisection to where it crosses. Its end lies
across the boundary, so its length is an upper bound of the true distance.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Predict = Callable[[Tensor], Tensor]
"""From inputs (N, ...) to logits (N, K), each row by itself: in evaluation mode."""

RIVALS = 9
"""The classes that a step may head for: the most likely ones, as in the paper's experiments."""

STEPS = 50
HALVINGS = 12
"""Halvings of the bisection: it ends within 2^-12 of the length of the perturbation found."""

_OVERSHOOT = 0.02
_SMALLEST_GAP = 1e-4
"""Added to the gap of logits, so that a step does not end on the boundary itself."""


def log_odds(logits: Tensor) -> Tensor:
    """Return log p / (1 - p) of the most likely class of each row, float64 (N,).

    ``logits`` is (N, K) with K > 1. It orders samples as the confidence max p does, but has no
    ties where p rounds to 1.
    """
    ranked = logits.double().sort(dim=1, descending=True).values
    return ranked[:, 0] - ranked[:, 1:].logsumexp(dim=1)


def linear_margins(logits: Tensor, weight: Tensor) -> Tensor:
    """Return the distance of features to the boundary of a linear classifier, float64 (N,).

    With the predicted class y it is min over j of (z_y - z_j) / ||w_y - w_j||, for the ``logits``
    z (N, K) and the classifier's ``weight`` w (K, F). Infinite if all classes have one weight.
    """
    z, w = logits.double(), weight.detach().double()
    top, y = z.max(dim=1)
    gaps = top[:, None] - z
    lengths = torch.cdist(w, w, compute_mode="donot_use_mm_for_euclid_dist")[y]
    return torch.where(lengths > 0, gaps / lengths, torch.inf).amin(dim=1)


def feature_distances(classifier: nn.Module, features: Tensor, logits: Tensor) -> Tensor:
    """Return the distance of ``features`` (N, F) to the classifier's boundary, float64 (N,).

    ``logits`` (N, K) are the classifier's on them. Exact if it is linear, else as
    :func:`crossing_distances` finds it.
    """
    if isinstance(classifier, nn.Linear):
        return linear_margins(logits, classifier.weight.to(logits.device))
    device = next(classifier.parameters()).device
    return crossing_distances(classifier, features.to(device)).to(features.device)


def crossing_distances(predict: Predict, inputs: Tensor) -> Tensor:
    """Return the length of a perturbation that changes the prediction, float64 (N,), on the CPU.

    An upper bound of the Euclidean distance of each of ``inputs`` (N, ...) to the boundary; NaN
    where ``STEPS`` steps of DeepFool did not cross it.
    """
    with torch.no_grad():
        predicted = predict(inputs).argmax(dim=1)
    shifts = torch.zeros_like(inputs)
    inside = torch.arange(len(inputs), device=inputs.device)  # those that have not crossed yet
    for _ in range(STEPS):
        shifts[inside] += _deepfool_step(predict, (inputs + shifts)[inside], predicted[inside])
        crossed = _crosses(predict, (inputs + shifts)[inside], predicted[inside])
        inside = inside[~crossed]
        if len(inside) == 0:
            break
    lengths = _shorten(predict, inputs, shifts, predicted).flatten(1).cpu().double().norm(dim=1)
    lengths[inside.cpu()] = torch.nan
    return lengths


@torch.enable_grad()
def _deepfool_step(predict: Predict, points: Tensor, predicted: Tensor) -> Tensor:
    """Return the step (n, ...) a little beyond the linearized boundary; 0 without a gradient."""
    points = points.detach().requires_grad_()
    logits = predict(points)
    own = logits.gather(1, predicted[:, None])
    others = logits.detach().scatter(1, predicted[:, None], -torch.inf)
    rivals = others.topk(min(RIVALS, logits.shape[1] - 1), dim=1).indices
    gaps = (own - logits.gather(1, rivals)).T
    nearest = torch.full_like(gaps[0], torch.inf).detach()
    step = torch.zeros_like(points)
    for gap in gaps:
        slope = torch.autograd.grad(gap.sum(), points, retain_graph=True)[0]
        length = slope.flatten(1).norm(dim=1)
        distance = (gap.detach() + _SMALLEST_GAP) / length
        nearer = (distance < nearest) & (length > 0)
        nearest = torch.where(nearer, distance, nearest)
        unit = slope / _by_row(length, slope)
        towards = -(1 + _OVERSHOOT) * _by_row(distance, slope) * unit
        step = torch.where(_by_row(nearer, slope), towards, step)
    return step.detach()


def _shorten(predict: Predict, inputs: Tensor, shifts: Tensor, predicted: Tensor) -> Tensor:
    """Return ``shifts``, which change the prediction, cut to about where they begin to."""
    low = inputs.new_zeros(len(inputs))
    high = torch.ones_like(low)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        crossed = _crosses(predict, inputs + _by_row(middle, inputs) * shifts, predicted)
        high = torch.where(crossed, middle, high)
        low = torch.where(crossed, low, middle)
    return _by_row(high, shifts) * shifts


@torch.no_grad()
def _crosses(predict: Predict, points: Tensor, predicted: Tensor) -> Tensor:
    """Return whether the prediction for each of ``points`` is not ``predicted``, bool (N,)."""
    return predict(points).argmax(dim=1) != predicted


def _by_row(values: Tensor, like: Tensor) -> Tensor:
    """Return ``values`` (N,) in a shape that is broadcast over the rows of ``like`` (N, ...)."""
    return values.view(-1, *[1] * (like.dim() - 1))
