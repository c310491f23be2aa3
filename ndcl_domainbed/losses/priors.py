"""Domain-class priors: how the training counts enter the re-weighted cross-entropy.

Each function takes the counts n_dk of training samples per domain and class, (D, K). A
:class:`DomainClassPrior` has their device and float type. A count of 0 never
makes a loss infinite: its class is masked, and its samples weigh 0.
"""

from __future__ import annotations

import math
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
    weighs 0. ``counts`` may be smoothed ones (:func:`smooth_counts`). Source: balanced softmax (Ren
    et al., NeurIPS 2020, arXiv:2007.10740) and logit adjustment (Menon et al., ICLR 2021,
    arXiv:2007.07314), per domain.

    >>> logit_prior(torch.tensor([[1.0, 10.0, 0.0]])).offsets
    tensor([[0.0000, 2.3026,   -inf]])
    """
    present = counts > 0
    offsets = torch.where(present, counts, 1.0).log().masked_fill(~present, -torch.inf)
    return DomainClassPrior(weights=present.to(counts.dtype), offsets=offsets)


AUTO, POOLED = "auto", "pooled"


def smooth_counts(counts: Tensor, strength: float | str) -> Tensor:
    """Return n_dk + κ π_k, (D, K): the counts of each domain, pulled toward those of all.

    π_k is the share of class k over all domains and κ >= 0 the ``strength``. Divided by N_d + κ, a
    factor that no softmax sees, it is the posterior mean of the domain's class prior under a
    Dirichlet prior with the parameters κ π. 0 leaves the counts as they are; 'pooled' is the limit
    κ -> ∞, in which every domain has the prior of all; 'auto' takes κ from the counts
    (:func:`fit_strength`). With κ > 0 only a class that no domain has keeps 0.

    >>> counts = torch.tensor([[30.0, 10.0, 0.0], [20.0, 30.0, 10.0]])
    >>> smooth_counts(counts, 10)  # π is 0.5, 0.4, 0.1
    tensor([[35., 14.,  1.],
            [25., 34., 11.]])
    """
    pooled = counts.sum(dim=0)
    kappa = fit_strength(counts) if strength == AUTO else strength
    if kappa in (POOLED, math.inf):
        return pooled.expand_as(counts)
    return counts + float(kappa) * pooled / pooled.sum().clamp_min(1)


def fit_strength(counts: Tensor) -> float:
    """Return the κ of :func:`smooth_counts` that makes ``counts`` most likely, or inf.

    Each domain's counts are taken as drawn from a multinomial whose class prior is drawn from a
    Dirichlet distribution with the parameters κ π. The log-likelihood Σ_d [log Γ(κ) - log Γ(κ +
    N_d) + Σ_k (log Γ(n_dk + κ π_k) - log Γ(κ π_k))] is searched on a grid of log κ that narrows
    around its best point. If the domains differ no more than by chance, or there is only one, it
    grows without bound, and κ is inf. Source: Minka, "Estimating a Dirichlet distribution", 2000.

    >>> round(fit_strength(torch.tensor([[90.0, 10.0], [10.0, 90.0]])), 1)  # they differ
    1.3
    >>> fit_strength(torch.tensor([[90.0, 10.0], [89.0, 11.0]]))  # they do not
    inf
    """
    counts = counts.double()
    pooled = counts.sum(dim=0)
    n, prior = counts[:, pooled > 0], pooled[pooled > 0] / pooled.sum()
    totals = n.sum(dim=1)
    low, high = math.log(1e-4), math.log(1e4 * max(1.0, float(totals.max())))
    bound = high
    for _ in range(6):
        grid = torch.linspace(low, high, 101, dtype=torch.float64, device=n.device)
        kappa = grid.exp()[:, None]
        alpha = kappa[..., None] * prior
        likelihood = (kappa.lgamma() - (kappa + totals).lgamma()).sum(dim=1)
        likelihood += ((n + alpha).lgamma() - alpha.lgamma()).sum(dim=(1, 2))
        best, step = float(grid[likelihood.argmax()]), (high - low) / 100
        low, high = best - step, min(best + step, bound)
    return math.inf if best > bound - 2 * math.log(10) else math.exp(best)
