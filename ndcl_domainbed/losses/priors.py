"""Domain-class priors: how the training counts enter the re-weighted cross-entropy.

Each function takes the counts n_dk of training samples per domain and class, (D, K), and returns a
:class:`DomainClassPrior` of the same device and float type. A count of 0 is finite everywhere.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class DomainClassPrior(NamedTuple):
    """What a prior does to a sample of domain d and class k; None where it does nothing.

    ``weights`` (D, K) multiplies the sample's loss; ``offsets`` (D, K) is added to its logits.
    """

    weights: Tensor | None = None
    offsets: Tensor | None = None


def inverse_prior(counts: Tensor) -> DomainClassPrior:
    """Return inverse-frequency weights: r[d,k] = K (1/n_dk) / Σ_k' (1/n_dk').

    The sum runs over the classes that domain d has; K is the number of all classes. A class with
    n_dk = 0 weighs 0, and so does all of a domain without samples. Source: Cao, Liu & Chen, ICML
    2026, arXiv:2601.21999, the domain-class weights of the re-weighted cross-entropy.

    >>> inverse_prior(torch.tensor([[1.0, 2.0, 0.0]])).weights  # 1 : 1/2 : 0 with the sum 3
    tensor([[2., 1., 0.]])
    """
    present = counts > 0
    inverse = torch.where(present, 1 / counts.clamp_min(1), 0.0)
    total = inverse.sum(dim=1, keepdim=True)
    weights = counts.shape[1] * inverse / torch.where(total > 0, total, 1.0)
    return DomainClassPrior(weights=weights)


def logit_prior(counts: Tensor) -> DomainClassPrior:
    """Return log-frequency offsets: log n_dk is added to the logits, absent classes are masked.

    A sample of a class that its domain has no count for cannot be explained by the prior; it
    weighs 0. Source: balanced softmax (Ren et al., NeurIPS 2020, arXiv:2007.10740) and logit
    adjustment (Menon et al., ICLR 2021, arXiv:2007.07314), per domain.

    >>> logit_prior(torch.tensor([[1.0, 10.0, 0.0]])).offsets
    tensor([[0.0000, 2.3026,   -inf]])
    """
    present = counts > 0
    offsets = torch.where(present, counts.clamp_min(1).log(), -torch.inf)
    return DomainClassPrior(weights=present.to(counts.dtype), offsets=offsets)
