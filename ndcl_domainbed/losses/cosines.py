"""Cosine similarities that are finite for every vector and exact within autocast."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

SMALLEST_NORM = 1e-6
"""A vector shorter than this is divided by this: the cosine of a zero vector is 0, and finite."""


def unit_rows(vectors: Tensor) -> Tensor:
    """Return the rows of ``vectors`` (N, F) divided by their Euclidean norms.

    >>> unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    return F.normalize(vectors, dim=1, eps=SMALLEST_NORM)


def cosines(vectors: Tensor, others: Tensor) -> Tensor:
    """Return s_ij = ⟨x_i, y_j⟩ / (|x_i| |y_j|) of rows of ``vectors`` and ``others``, (N, M).

    ``vectors`` is (N, F) and ``others`` (M, F); the result lies in [-1, 1] up to rounding.

    >>> cosines(torch.tensor([[2.0, 0.0]]), torch.tensor([[5.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
    tensor([[ 1.,  0., -1.]])
    """
    with autocast_disabled(vectors.device):
        return unit_rows(vectors) @ unit_rows(others).T


def autocast_disabled(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which products on ``device`` keep the precision of their factors."""
    if torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
