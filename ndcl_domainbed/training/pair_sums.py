"""Sums over updates of what is seen of samples and batches, by source domain and class."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ndcl_domainbed import losses

_OF_SAMPLES = (
    *("confidence", "grad_logits", "grad_features"),
    *("amplification", "crowding", "anchors"),
)
_OF_BATCHES = ("samples", "batches", "norm", "squared_norm", "distance", "distances")
_COLUMN = {name: place for place, name in enumerate(_OF_SAMPLES + _OF_BATCHES)}

TOGETHER = 16
"""Updates that are added up together: one by one, the calls would take longer than the sums."""


class BatchSeen(NamedTuple):
    """One update's N samples. Those of an update that is not ``counted`` are left out.

    ``pairs`` (N,) numbers their domain-class pairs, d K + k; ``logits`` are (N, K); ``figures``
    (N, 5): the norms of the gradients at logits and features, amplification factor, crowding, and
    1 for an anchor that has these. ``counted`` is a scalar.
    """

    pairs: Tensor
    logits: Tensor
    figures: Tensor
    counted: Tensor


class Taken(NamedTuple):
    """The means of the pairs that occurred, and in how many updates they did."""

    pairs: list[int]
    figures: dict[str, Tensor]
    updates: int


class PairSums:
    """Adds up, on the device, without waiting for it.

    ``state`` is changed in place: with what it holds, sums go on bit by bit where they were.
    """

    def __init__(
        self, domains: int, num_classes: int, device: torch.device, state: dict[str, Any]
    ) -> None:
        self.num_classes = num_classes
        self.state = state
        if not state:
            # float64: float32 would lose the small differences between squares of the prototypes.
            kind = torch.float32 if device.type == "mps" else torch.float64
            pairs = domains * num_classes
            state["sums"] = torch.zeros(pairs, len(_COLUMN), dtype=kind, device=device)
            state["prototypes"] = torch.zeros(pairs, num_classes, dtype=kind, device=device)
            state["updates"] = torch.zeros((), dtype=torch.int64, device=device)
            state["pending"] = []

    def add(self, seen: BatchSeen) -> None:
        """Add what one update showed."""
        pending = self.state["pending"]
        if pending and len(pending[0][0]) != len(seen.pairs):
            self._add_pending()
        pending.append(tuple(seen))
        if len(pending) == TOGETHER:
            self._add_pending()

    def _add_pending(self) -> None:
        pending = self.state["pending"]
        if not pending:
            return
        stacked = BatchSeen(*(torch.stack(column) for column in zip(*pending, strict=True)))
        pending.clear()
        sums, total = self.state["sums"], self.state["prototypes"]
        figures, prototypes = _of_batches(stacked, sums.dtype)
        batches = torch.arange(len(stacked.pairs), device=sums.device)[:, None]
        places = (batches * len(sums) + stacked.pairs).flatten()
        for into, values in ((sums, figures), (total, prototypes)):
            # Each place gets one row that is not 0: the result does not depend on their order.
            table = values.new_zeros(len(batches) * len(sums), values.shape[-1])
            table.index_add_(0, places, values.flatten(0, 1))
            into += table.view(len(batches), *into.shape).sum(dim=0)
        self.state["updates"] += stacked.counted.sum()

    def take(self) -> Taken:
        """Return the means since the last time, and begin anew. Waits for the device."""
        self._add_pending()
        sums, prototypes = self.state["sums"], self.state["prototypes"]
        occurred = sums[:, _COLUMN["samples"]].nonzero()[:, 0]
        figures = _means(sums[occurred], prototypes[occurred])
        taken = Taken(occurred.tolist(), figures, int(self.state["updates"]))
        for total in (sums, prototypes, self.state["updates"]):
            total.zero_()
        return taken


def _of_batches(seen: BatchSeen, kind: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the columns (B, N, 12) and prototypes (B, N, K) of B updates, in ``kind``.

    One row stands for each pair; the others are 0.
    """
    classes = seen.logits.shape[-1]
    labels, domains = seen.pairs % classes, seen.pairs // classes
    predictions = seen.logits.softmax(dim=-1)
    confidence = predictions.gather(-1, labels[..., None])
    both = torch.cat([confidence, seen.figures, predictions], dim=-1)
    found = losses.batch_prototypes(both, labels, domains)
    means, vectors = found.vectors.to(kind).split([len(_OF_SAMPLES), classes], dim=-1)
    prototypes = found._replace(vectors=vectors)
    sums = torch.cat([means * found.counts[..., None], _of_prototypes(prototypes)], dim=-1)
    rows = (found.active & seen.counted[:, None])[..., None]
    return torch.where(rows, sums, 0.0), torch.where(rows, vectors, 0.0)


def _of_prototypes(prototypes: losses.Prototypes) -> Tensor:
    """Return the columns ``_OF_BATCHES``, (B, N, 6)."""
    squares = prototypes.vectors.square().sum(dim=-1)
    distances = torch.vmap(losses.prototype_distances)(prototypes)
    columns = [
        prototypes.counts,
        torch.ones_like(squares),
        squares.sqrt(),
        squares,
        distances.nan_to_num(0.0),
        distances.isfinite(),
    ]
    return torch.stack([values.to(squares.dtype) for values in columns], dim=-1)


def _means(sums: Tensor, prototypes: Tensor) -> dict[str, Tensor]:
    """Return the figures of the pairs that occurred, each (P,), from their sums."""
    column = {name: sums[:, place] for name, place in _COLUMN.items()}
    samples, batches = column["samples"], column["batches"]
    anchors = column["anchors"].round()
    spread = column["squared_norm"] - (prototypes**2).sum(dim=1) / batches
    variance = spread.clamp_min(0) / (batches - 1)
    return {
        "samples": samples.long(),
        "anchors": anchors.long(),
        "batches": batches.long(),
        **{name: column[name] / samples for name in ("grad_logits", "grad_features")},
        "confidence": column["confidence"] / samples,
        **{name: column[name] / anchors for name in ("amplification", "crowding")},
        "norm": column["norm"] / batches,
        "distance": column["distance"] / column["distances"],
        "instability": torch.where(batches > 1, variance.sqrt(), torch.nan),
    }
