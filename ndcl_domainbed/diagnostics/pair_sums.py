"""Sums over updates, by pair of source domain and class."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

_OVER_SAMPLES = ("confidence", "grad_logits", "grad_features")
_OVER_ANCHORS = ("amplification", "crowding")
_OF_SAMPLES = (*_OVER_SAMPLES, *_OVER_ANCHORS, "anchors")
_OF_BATCHES = ("samples", "batches", "norm", "squared_norm", "distance", "distances")


class PairMeans(NamedTuple):
    """The pairs that occurred, their figures, each (P,), and the number of updates."""

    pairs: list[int]
    figures: dict[str, Tensor]
    updates: int


class PairSums:
    """Adds up figures of P pairs on the device, without waiting for it.

    Pair d K + k is that of domain d and class k. ``state`` is changed in place; sums that are
    given a saved state continue bit by bit.
    """

    def __init__(
        self, pairs: int, num_classes: int, device: torch.device, state: dict[str, Any]
    ) -> None:
        self.num_classes = num_classes
        self.state = state
        if not state:
            # Differences between squares of prototypes are too small for float32.
            dtype = torch.float32 if device.type == "mps" else torch.float64
            width = len(_OF_SAMPLES) + len(_OF_BATCHES)
            state["sums"] = torch.zeros(pairs, width, dtype=dtype, device=device)
            state["prototypes"] = torch.zeros(pairs, num_classes, dtype=dtype, device=device)
            state["updates"] = torch.zeros((), dtype=torch.int64, device=device)

    def add(
        self, pairs: Tensor, columns: dict[str, Tensor], predictions: Tensor, counted: Tensor
    ) -> None:
        """Add the N samples of an update, unless the scalar ``counted`` is False.

        ``pairs`` (N,) are their pairs, ``columns`` (N,) their figures, ``predictions`` (N, K)
        their probabilities.
        """
        sums = self.state["sums"]
        members = (torch.arange(len(sums), device=sums.device)[:, None] == pairs) & counted
        figures = torch.stack([columns[name].to(sums.dtype) for name in _OF_SAMPLES], dim=1)
        values = torch.cat([figures, predictions.to(sums.dtype)], dim=1)
        # A product, not index_add_: its result is the same each time on a GPU as well.
        totals, predicted = (members.to(sums.dtype) @ values).tensor_split(
            [len(_OF_SAMPLES)], dim=1
        )
        counts = members.sum(dim=1)
        prototypes = predicted / counts.clamp_min(1)[:, None]
        sums += torch.cat([totals, self._of_batch(prototypes, counts)], dim=1)
        self.state["prototypes"] += prototypes
        self.state["updates"] += counted

    def _of_batch(self, prototypes: Tensor, counts: Tensor) -> Tensor:
        """Return the columns ``_OF_BATCHES`` of one batch, (P, 6)."""
        squares = prototypes.square().sum(dim=1)
        by_class = prototypes.unflatten(0, (-1, self.num_classes)).transpose(0, 1)  # (K, D, K)
        present = (counts > 0).view(-1, self.num_classes).T
        others = present[:, :, None] & present[:, None] & ~_eye_like(present)
        between = torch.where(others, torch.cdist(by_class, by_class), 0.0).sum(dim=2)
        number = others.sum(dim=2)
        columns = {
            "samples": counts,
            "batches": counts > 0,
            "norm": squares.sqrt(),
            "squared_norm": squares,
            "distance": (between / number.clamp_min(1)).T.flatten(),
            "distances": (number > 0).T.flatten(),
        }
        return torch.stack([columns[name].to(squares.dtype) for name in _OF_BATCHES], dim=1)

    def take(self) -> PairMeans:
        """Return the means since the last call and start new sums. Waits for the device."""
        sums, prototypes, updates = (self.state[n] for n in ("sums", "prototypes", "updates"))
        column = dict(zip((*_OF_SAMPLES, *_OF_BATCHES), sums.T, strict=True))
        occurred = column["samples"].nonzero()[:, 0]
        column = {name: values[occurred] for name, values in column.items()}
        figures = _means(column, prototypes[occurred])
        means = PairMeans(occurred.tolist(), figures, int(updates))
        for total in (sums, prototypes, updates):
            total.zero_()
        return means


def _eye_like(present: Tensor) -> Tensor:
    return torch.eye(present.shape[1], dtype=torch.bool, device=present.device)


def _means(column: dict[str, Tensor], prototypes: Tensor) -> dict[str, Tensor]:
    """Return the figures of pairs from their sums, each (P,)."""
    samples, anchors, batches = (column[name] for name in ("samples", "anchors", "batches"))
    deviations = column["squared_norm"] - prototypes.square().sum(dim=1) / batches
    variance = deviations.clamp_min(0) / (batches - 1)
    return {
        "samples": samples.long(),
        "anchors": anchors.long(),
        "batches": batches.long(),
        **{name: column[name] / samples for name in _OVER_SAMPLES},
        **{name: column[name] / anchors for name in _OVER_ANCHORS},
        "norm": column["norm"] / batches,
        "distance": column["distance"] / column["distances"],
        "instability": torch.where(batches > 1, variance.sqrt(), torch.nan),
    }
