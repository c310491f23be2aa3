"""Hard negatives by confidence-based mixup: which samples to mix, with which, and how much.

Source: Cao, Liu & Chen, "Negatives-Dominant Contrastive Learning for Generalization in Imbalanced
Domains", ICML 2026, arXiv:2601.21999, the confidence-based mixup and Appendix C.

The method
----------
A batch has N samples, n_k of class k, and p[i,k] is the predicted probability of k for sample i.
The *positives* of k are its samples in ascending order of p[k], the most uncertain first; the
*negatives* of k are all other samples in descending order of p[k], the most confident first. Ties
go to the earlier sample. n_strong negatives have p[k] >= 2/K and n_weak have p[k] >= 1/K.

**Budget.** Class k gets b_k mixed samples. 'frequency' gives it the share exp(n_k/N) of N (times
``scale``, rounded), 'equal' an equal share; the pairing rounds the shares. 'fixed' gives each class
``per_class``.

**Pairing.** Some positives, the most uncertain ones, are paired with some negatives, the most
confident ones: those with p[k] >= 2/K or 1/K if there are enough. Two modules define which, how
many, and what fills the budget if they do not: ``spread`` (the default, with many different
parents) and ``released`` (what the published implementation does).

**Weights.** A mixed sample is λ x_first + (1-λ) x_second; the first parent is the positive or, of
two negatives, the one further down. With three parents it is
λ x_first + (1-λ) (λ x_third + (1-λ) x_second). All first-round pairs of a step share one λ; with
``per_pair`` every mixed sample has its own.

An example
----------
Samples 0 to 3 are of class 0, the rest of others; K = 4, so that p >= 1/2 is strong, >= 1/4 weak.

>>> labels = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2])
>>> p_0 = torch.tensor([0.9, 0.2, 0.8, 0.3, 0.5, 0.25, 0.6, 0.1])
>>> p = torch.cat([p_0[:, None], (1 - p_0[:, None]).expand(-1, 3) / 3], dim=1)
>>> images, generator = torch.rand(8, 3, 28, 28), torch.Generator().manual_seed(0)
>>> mixed = hard_negatives(images, labels, p, 0.2, generator, budget="fixed", per_class=5)
>>> mixed.classes.tolist()
[0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2]

The pool of class 0 is its two most uncertain samples, 1 and 3. Its strong negatives, 6 and 4, make
four pairs with them, one too few; with the weak negative 5 there are six, and five are kept.

>>> list(zip(mixed.first[:5].tolist(), mixed.second[:5].tolist()))
[(1, 6), (3, 4), (1, 5), (3, 6), (1, 4)]
>>> mixed.lambdas[:5].unique().numel()  # all belong to the first round
1
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ndcl_domainbed.hard_negatives.pairs import Pairing
from ndcl_domainbed.hard_negatives.released import RELEASED
from ndcl_domainbed.hard_negatives.spread import SPREAD

PAIRINGS = {"spread": SPREAD, "released": RELEASED}
BUDGETS = ("frequency", "equal", "fixed")
SMALLEST_FIXED_BUDGET, LARGEST_FIXED_BUDGET = 8, 24


class HardNegatives(NamedTuple):
    """Mixed samples, M of them, grouped by class in ascending order.

    ``inputs`` (M, ...) are the mixtures; ``classes`` (M,) is the class that each is a negative for,
    -1 for none; ``first``, ``second`` and ``third`` (M,) index the parents in the batch (with two
    parents the third is the second), and ``lambdas`` (M,) is the weight of the first.
    """

    inputs: Tensor
    classes: Tensor
    first: Tensor
    second: Tensor
    third: Tensor
    lambdas: Tensor


@torch.no_grad()
def hard_negatives(
    inputs: Tensor,
    labels: Tensor,
    probabilities: Tensor,
    rho: float,
    generator: torch.Generator,
    *,
    pairing: str = "spread",
    budget: str = "frequency",
    per_class: int = LARGEST_FIXED_BUDGET,
    scale: float = 1.0,
    per_pair: bool = False,
) -> HardNegatives:
    """Mix uncertain positives with confident negatives, as described at the top of this module.

    ``inputs`` (N, ...) is a batch of a floating-point type, ``labels`` (N,) its classes in 0..K-1,
    ``probabilities`` (N, K) the predictions for it, ``rho`` > 0 the parameter of Beta(ρ, ρ) and
    ``generator`` a CPU generator; what is drawn from it depends on M and ρ alone.

    The budgets 'frequency' and 'equal' make M = ``scale`` N samples, rounded, without synchronizing
    with the device; 'fixed' makes ``per_class`` for each class in the batch. A batch of one class
    has no negatives: its N samples get the class -1 (checking for this case would cost a
    synchronization), and 'fixed' makes none. The ``pairing`` 'released' leaves out the classes that
    it has no pair for, so M may be smaller, even 0. Both 'fixed' and 'released' read M back from
    the device, once. Raises ValueError for an unknown budget or pairing.
    """
    if pairing not in PAIRINGS:
        raise ValueError(f"unknown pairing {pairing!r}; choose one of {', '.join(PAIRINGS)}.")
    strategy = PAIRINGS[pairing]
    classes = torch.arange(probabilities.shape[1], device=labels.device)
    is_positive = labels == classes[:, None]
    positives = is_positive.sum(dim=1)
    negatives = len(labels) - positives
    order, strong, weak = _rank(probabilities, is_positive)
    total = round(scale * len(labels))
    budgets = allocate_budget(positives, len(labels), budget, per_class, total, strategy)
    pool, reach = strategy.choose_pool_and_reach(positives, negatives, strong, weak, budgets)
    if strategy.skips_classes:
        budgets = torch.where(pool > 0, budgets, 0)
    if strategy.skips_classes or budget == "fixed":
        total = int(budgets.sum())
    k = classes.repeat_interleave(budgets, output_size=total)
    sample = torch.arange(total, device=labels.device)
    number = sample - (budgets.cumsum(0) - budgets)[k]  # of the sample within its class
    pairs = strategy.pair(positives[k], negatives[k], pool[k], reach[k], number)
    first, second = order[k, pairs.first_rank], order[k, pairs.second_rank]
    third = second if pairs.third_rank is None else order[k, pairs.third_rank]
    draws = draw_beta(rho, total, generator).to(inputs.dtype)
    draws = draws.to(inputs.device, non_blocking=True)  # else the host waits for the device
    round_start = torch.where(pairs.has_own_weight, sample - pairs.place, 0)
    lambdas = draws if per_pair else draws[round_start]
    mixed_classes = torch.where(negatives > 0, classes, -1)[k]
    mixed = mix(inputs, first, second, third, lambdas)
    return HardNegatives(mixed, mixed_classes, first, second, third, lambdas)


def fixed_class_budget(samples_per_domain: int) -> int:
    """Return the budget of a class under 'fixed': half the batch of a domain, within 8 to 24.

    >>> [fixed_class_budget(n) for n in (8, 32, 64)]
    [8, 16, 24]
    """
    return min(max(samples_per_domain // 2, SMALLEST_FIXED_BUDGET), LARGEST_FIXED_BUDGET)


def allocate_budget(
    counts: Tensor,
    number: int,
    budget: str,
    per_class: int,
    total: int | None = None,
    pairing: Pairing = SPREAD,
) -> Tensor:
    """Return b_k, the number of samples to mix for each class, int64 (K,).

    ``counts`` (K,), int64, holds the samples of each class in the batch of ``number``; 0 gets 0.
    The sum is ``total`` (None: ``number``) for 'frequency' and 'equal'; with 'fixed' a class that
    is alone gets 0.

    >>> allocate_budget(torch.tensor([8, 1, 0, 1]), 10, "frequency", 24)  # of 5.02, 2.49, 0, 2.49
    tensor([5, 3, 0, 2])
    """
    present = counts > 0
    if budget == "fixed":
        return torch.where(present & (present.sum() > 1), per_class, 0)
    if budget not in BUDGETS:
        raise ValueError(f"unknown budget {budget!r}; choose one of {', '.join(BUDGETS)}.")
    shares = present.to(_widest_float(counts.device))
    if budget == "frequency":
        # From a table, so that classes of one size have one share to the last digit.
        sizes = torch.arange(number + 1, dtype=shares.dtype, device=counts.device)
        shares = shares * (sizes / number).exp()[counts]
    total = number if total is None else total
    return pairing.round_shares(shares / shares.sum() * total, total)


def draw_beta(rho: float, number: int, generator: torch.Generator) -> Tensor:
    """Return ``number`` draws from Beta(ρ, ρ), float64, on the generator's device.

    X / (X + Y) of two Gamma(ρ) draws. Each is made in log space as log Gamma(ρ+1) + log(U) / ρ, so
    that no draw underflows to 0/0 however small ρ is.
    """
    shape = torch.full((2, number), rho + 1, dtype=torch.float64, device=generator.device)
    gammas = torch._standard_gamma(shape, generator=generator)
    uniforms = torch.empty_like(shape).uniform_(generator=generator)  # in [0, 1)
    x, y = gammas.log() + torch.log1p(-uniforms) / rho
    return (x - y).sigmoid()


def _widest_float(device: torch.device) -> torch.dtype:
    """Return float64, or float32 on MPS, which has no wider type."""
    return torch.float32 if device.type == "mps" else torch.float64


def _rank(probabilities: Tensor, is_positive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rank the batch for each class; return the order (K, N), n_strong (K,) and n_weak (K,).

    A row of the order holds the negatives of the class, the most confident first, and then its
    positives, the most uncertain first. ``is_positive`` (K, N) marks the samples of each class.
    """
    p = probabilities.T
    # One sort for both: the keys of positives are above 0, those of negatives are not.
    keys = torch.where(is_positive, p.clamp_min(torch.finfo(p.dtype).tiny), -p)
    strong = (~is_positive & (p >= 2 / len(p))).sum(dim=1)
    weak = (~is_positive & (p >= 1 / len(p))).sum(dim=1)
    return keys.argsort(dim=1, stable=True), strong, weak


def mix(inputs: Tensor, first: Tensor, second: Tensor, third: Tensor, lambdas: Tensor) -> Tensor:
    """Return λ x_first + (1-λ) (λ x_third + (1-λ) x_second), (M, ...).

    ``inputs`` (N, ...) is the batch, ``first`` to ``lambdas`` (M,) as in :class:`HardNegatives`;
    with one tensor as ``second`` and ``third`` it mixes two images.
    """
    weights = lambdas.view(-1, *[1] * (inputs.dim() - 1))
    mixed = inputs[second]  # mixed in place: images are large
    if third is not second:
        mixed.lerp_(inputs[third], weights)
    return mixed.lerp_(inputs[first], weights)
