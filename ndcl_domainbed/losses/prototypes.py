"""Prototypes of domain-class pairs: means over a batch, optionally averaged across batches."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ndcl_domainbed.losses.masks import match_mask


class Prototypes(NamedTuple):
    """The prototypes of a batch, in N rows, one for each sample.

    Row i holds the prototype of sample i's domain-class pair in ``vectors`` (N, F), with its
    ``domains``, ``classes`` and ``counts`` (samples of the pair in the batch, in the type of the
    vectors), all (N,). ``active`` (N,) marks one row for each pair with enough samples, that of its
    first sample. So the size does not depend on the labels, nor memory on the number of classes.
    """

    vectors: Tensor
    domains: Tensor
    classes: Tensor
    counts: Tensor
    active: Tensor


def batch_prototypes(
    vectors: Tensor, labels: Tensor, domains: Tensor, min_count: int = 1
) -> Prototypes:
    """Return μ_dk = mean of the rows of ``vectors`` (..., N, F) over the samples of each (d, k).

    ``labels`` and ``domains`` are (..., N), of one batch or of several at once. Pairs with fewer
    than ``min_count`` samples in the batch are not active. Source: Cao, Liu & Chen, ICML 2026,
    arXiv:2601.21999, the prototypes of the prediction-central alignment.

    >>> vectors, labels = torch.tensor([[1.0], [3.0], [9.0]]), torch.tensor([0, 0, 0])
    >>> found = batch_prototypes(vectors, labels, domains=torch.tensor([0, 0, 1]))
    >>> found.vectors[found.active]
    tensor([[2.],
            [9.]])
    """
    if labels.shape[-1] == 0:
        return Prototypes(vectors, domains, labels, vectors[..., 0], labels.bool())
    pairs = labels * (domains.amax(dim=-1, keepdim=True) + 1) + domains
    same = match_mask(pairs, pairs).to(vectors.dtype)
    counts = same.sum(dim=-1)
    first = same.tril().sum(dim=-1) == 1  # the sample is the only one up to itself
    means = (same / counts.unsqueeze(-1)) @ vectors
    active = first if min_count <= 1 else first & (counts >= min_count)
    return Prototypes(means, domains, labels, counts, active)


def kept_prototypes(
    batch: Prototypes, table: Tensor, seen: Tensor, momentum: float, min_count: int = 1
) -> tuple[Prototypes, Tensor, Tensor]:
    """Blend the prototypes of a batch with those of earlier batches: μ <- m μ_old + (1-m) μ_batch.

    ``table`` (D, K, F) holds the old prototypes and ``seen`` (D, K) which of them exist;
    ``momentum`` is m in [0, 1). Returns the blended prototypes (gradients flow through the batch's
    share only) and the new table and mask, detached; the arguments are not changed. A pair not
    seen before starts at its batch mean. Pairs with fewer than ``min_count`` samples in the batch
    stay as they are and take no part.
    """
    old, known = table[batch.domains, batch.classes], seen[batch.domains, batch.classes]
    blended = torch.lerp(batch.vectors, old, momentum)
    vectors = torch.where(known[:, None], blended, batch.vectors)
    enough = batch.counts >= min_count
    pair = batch.domains * table.shape[1] + batch.classes
    first = (pair[:, None] == pair).int().argmax(dim=1)  # duplicates write the same row
    written = torch.where(enough[:, None], vectors.detach(), old)[first]
    place = (batch.domains, batch.classes)
    new_table, new_seen = table.index_put(place, written), seen.index_put(place, enough | known)
    return batch._replace(vectors=vectors), new_table, new_seen
