"""Cosine similarities, and losses that are functions of them, with gradients in closed form.

They can be differentiated once; asking for more is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

SMALLEST_NORM = 1e-6
"""A vector shorter than this is divided by this: the cosine of a zero vector is 0, and finite."""

Criterion = Callable[..., tuple[Tensor, Tensor]]
"""A scalar loss of cosines (N, N+M), with its slope in each of them."""


def unit_rows(vectors: Tensor) -> Tensor:
    """Return the rows of ``vectors`` (N, F) divided by their Euclidean norms."""
    return F.normalize(vectors, dim=1, eps=SMALLEST_NORM)


def cosines(anchors: Tensor, others: Tensor | None = None, *, scale: float = 1.0) -> Tensor:
    """Return ``scale`` times the cosine of each of ``anchors`` (N, F) with them and ``others``.

    ``others`` is (M, F); the result is (N, N+M), the anchors in its first columns. Without
    ``others`` it is (N, N).
    """
    rows = anchors if others is None else torch.cat([anchors, others])
    return _Cosines.apply(rows, len(anchors), scale)


def cosine_loss(
    criterion: Criterion,
    arguments: tuple[Any, ...],
    anchors: Tensor,
    others: Tensor | None = None,
    *,
    scale: float = 1.0,
) -> Tensor:
    """Return the loss that ``criterion`` makes of :func:`cosines` and ``arguments``, a scalar.

    The same as applying one to the other, at the cost of one operator: nothing but the cosines has
    a gradient. ``criterion`` is a function of its module, so that it can be compiled.
    """
    rows = anchors if others is None else torch.cat([anchors, others])
    return _CosineLoss.apply(rows, len(anchors), scale, criterion, *arguments)


def as_they_are(values: Tensor) -> AbstractContextManager[Any]:
    """Return a context in which products on the device of ``values`` keep the type they have.

    A backward pass may run within autocast though the forward pass did not.
    """
    device = values.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()


class _Units(NamedTuple):
    """Rows U = X / |X| (N+M, F), and the first N of them times c.

    ``divisors`` (N+M, 1) are what X was divided by, ``long`` (N+M, 1) is 1 where that was |X| and 0
    where it was SMALLEST_NORM.
    """

    unit: Tensor
    scaled: Tensor
    divisors: Tensor
    long: Tensor

    @classmethod
    def of(cls, rows: Tensor, number: int, scale: float) -> _Units:
        norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        divisors = norms.clamp_min(SMALLEST_NORM)
        unit = rows / divisors
        scaled = unit[:number] if scale == 1 else unit[:number] * scale
        return cls(unit, scaled, divisors, norms.ge_(SMALLEST_NORM))

    def cosines(self) -> Tensor:
        """Return S = c U_a Uᵀ, of which U_a are the first rows of U."""
        with as_they_are(self.unit):
            return self.scaled @ self.unit.T

    def slope(self, gradient: Tensor, scale: float) -> Tensor:
        """Return the slope in X, given that in S.

        With G the slope of S, that of U is V = c Gᵀ U_a, plus c G U in the rows of U_a, and that of
        a row x of X is (v - (v·u) u) / |x|; of one below SMALLEST_NORM it is v / SMALLEST_NORM.
        """
        unit = self.unit
        with as_they_are(unit):
            slope = gradient.T @ self.scaled
            slope[: len(gradient)].addmm_(gradient, unit, alpha=scale)
        along = (slope * unit).sum(dim=1, keepdim=True) * self.long
        return slope.addcmul_(along, unit, value=-1).div_(self.divisors)


class _Cosines(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, number: int, scale: float) -> Tensor:
        units = _Units.of(rows, number, scale)
        ctx.save_for_backward(*units)
        ctx.scale = scale
        return units.cosines()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Units(*ctx.saved_tensors).slope(gradient, ctx.scale), None, None


class _CosineLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, number: int, scale: float, criterion: Criterion, *arguments: Any
    ) -> Tensor:
        units = _Units.of(rows, number, scale)
        value, slope = criterion(units.cosines(), *arguments)
        ctx.save_for_backward(slope, *units)
        ctx.scale, ctx.arguments = scale, len(arguments)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        slope, *units = ctx.saved_tensors
        of_rows = _Units(*units).slope(gradient * slope, ctx.scale)
        return (of_rows, *[None] * (3 + ctx.arguments))
