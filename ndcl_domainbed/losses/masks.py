"""What several losses share: masks by class, sums in log space under a mask, means over classes.

No loss loops over samples or classes, reads a value back to the host, or has a shape that depends
on values, so an accelerator never waits. (Priors are made once, before training.)
"""

from __future__ import annotations

import torch
from torch import Tensor


def match_mask(labels: Tensor, others: Tensor) -> Tensor:
    """Return whether row and column are of the same class, boolean (..., N, M).

    ``labels`` (..., N) and ``others`` (..., M) are class numbers.

    >>> match_mask(torch.tensor([0, 1]), torch.tensor([0, 0, 1])).int().tolist()
    [[1, 1, 0], [0, 0, 1]]
    """
    return labels.unsqueeze(-1) == others.unsqueeze(-2)


def other_mask(number: int, device: torch.device) -> Tensor:
    """Return True except on the diagonal, boolean (N, N): no sample is its own partner."""
    return ~torch.eye(number, dtype=torch.bool, device=device)


def masked_logsumexp(scores: Tensor, mask: Tensor) -> Tensor:
    """Return log Σ exp(score) over the entries of each row that ``mask`` keeps, (N,).

    ``scores`` (N, M) are finite, M > 0, and ``mask`` (N, M) is boolean. A row without entries
    gets the lowest finite number instead of -∞, so that differences and gradients stay finite.

    >>> scores = torch.tensor([[1.0, 2.0], [3.0, 3.0]])
    >>> masked_logsumexp(scores, torch.tensor([[True, False], [True, True]]))
    tensor([1.0000, 3.6931])
    """
    empty = ~mask.any(dim=1)
    kept = mask | empty[:, None]  # the gradient of a row of nothing but -∞ would be NaN
    sums = scores.masked_fill(~kept, -torch.inf).logsumexp(dim=1)
    return sums.masked_fill(empty, torch.finfo(scores.dtype).min)


def mean_over_classes(values: Tensor, class_sizes: Tensor) -> Tensor:
    """Return (1/|C|) Σ_k mean of ``values`` over class k, a scalar: every class counts once.

    ``values`` (N,), N > 0, has one value per sample and ``class_sizes`` (N,) the number of samples
    n_k of its class. The weight of a sample is 1 / (|C| n_k), and |C| is the sum of all 1/n_k.

    >>> mean_over_classes(torch.tensor([1.0, 3.0, 10.0]), torch.tensor([2, 2, 1]))
    tensor(6.)
    """
    shares = class_sizes.to(values.dtype).reciprocal()
    return (values * shares).sum() / shares.sum()


def zero_with_gradient(*tensors: Tensor) -> Tensor:
    """Return a scalar 0 that can be differentiated, with gradient 0 for each of ``tensors``."""
    return torch.stack([tensor[:0].sum() for tensor in tensors]).sum()
