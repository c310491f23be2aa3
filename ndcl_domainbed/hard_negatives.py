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
``scale``), 'equal' an equal share; shares are rounded down, and the largest remainders (the lower
class on a tie) are rounded up, so that they add up. 'fixed' gives each class ``per_class``.

**A class with n_k > 1.** Its ``n_pool`` most uncertain positives are paired with its ``n_reach``
most confident negatives:

- n_pool is 25 % of the positives, rounded up and at least 2; if pairing these with every negative
  makes fewer than b_k pairs, 50 %, and if that is too few as well, 75 %.
- n_reach is n_strong if n_pool x n_strong >= b_k, else n_weak if n_pool x n_weak >= b_k, else just
  enough to fill the budget, ceil(b_k / n_pool), or all.
- The first b_k pairs are kept. Both lists are walked cyclically, side by side: positive 0 with
  negative 0, 1 with 1, and so on; whenever both are back at their starts, the negatives shift by
  one. So no pair repeats, and the cut favors no sample.
- If the pairs do not fill the budget, the negatives are mixed among themselves: in round
  t = 1, 2, ... negative j is mixed with the one 1 + (t-1) mod (n_neg - 1) places further,
  cyclically. A single negative has no partner: then the pairs are repeated.

**A class with n_k = 1.** A third of the budget is t = ceil(b_k / 3). n_reach is n_strong if that is
at least t; else t if that is at most half of the negatives; else n_weak if that is at least t; else
all. The positive is paired with each of them in turn, round after round, until the budget is full.

**Weights.** A mixed sample is λ x_first + (1-λ) x_second; the first parent is the positive or, of
two negatives, the one further down. All first-round pairs of a step share one λ, and each later
round of each class has its own; with ``per_pair`` every mixed sample has its own.

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

BUDGETS = ("frequency", "equal", "fixed")
SMALLEST_FIXED_BUDGET, LARGEST_FIXED_BUDGET = 8, 24


class HardNegatives(NamedTuple):
    """Mixed samples, M of them, grouped by class in ascending order.

    ``inputs`` (M, ...) are the mixtures; ``classes`` (M,) is the class that each is a negative for,
    -1 for none; ``first`` and ``second`` (M,) index the parents in the batch, and ``lambdas`` (M,)
    is the weight of the first.
    """

    inputs: Tensor
    classes: Tensor
    first: Tensor
    second: Tensor
    lambdas: Tensor


@torch.no_grad()
def hard_negatives(
    inputs: Tensor,
    labels: Tensor,
    probabilities: Tensor,
    rho: float,
    generator: torch.Generator,
    *,
    budget: str = "frequency",
    per_class: int = LARGEST_FIXED_BUDGET,
    scale: float = 1.0,
    per_pair: bool = False,
) -> HardNegatives:
    """Mix uncertain positives with confident negatives, as described at the top of this module.

    ``inputs`` (N, ...) is a batch of a floating-point type, ``labels`` (N,) its classes in 0..K-1,
    ``probabilities`` (N, K) the predictions for it, ``rho`` > 0 the parameter of Beta(ρ, ρ) and
    ``generator`` a CPU generator, from which 4 M numbers are drawn whatever the batch holds.

    The budgets 'frequency' and 'equal' make M = ``scale`` N samples, rounded, without synchronizing
    with the device; 'fixed' makes ``per_class`` for each class in the batch, and reads back how
    many classes there are. A batch of one class has no negatives: its N samples get the class -1
    (checking for this case would cost a synchronization), and 'fixed' makes none. Raises ValueError
    for an unknown budget.
    """
    classes = torch.arange(probabilities.shape[1], device=labels.device)
    is_positive = labels == classes[:, None]
    counts = is_positive.sum(dim=1)
    negatives = len(labels) - counts
    total = round(scale * len(labels))
    budgets = allocate_budget(counts, len(labels), budget, per_class, total)
    if budget == "fixed":
        total = int(budgets.sum())
    order, strong, weak = _rank(probabilities, is_positive)
    pool, reach = _choose_pool_and_reach(counts, negatives, budgets, strong, weak)
    pairs = _pair(counts, negatives, budgets, pool, reach, total)
    first, second = order[pairs.k, pairs.first_rank], order[pairs.k, pairs.second_rank]
    draws = draw_beta(rho, total, generator).to(inputs.dtype)
    draws = draws.to(inputs.device, non_blocking=True)  # else the host waits for the device
    lambdas = draws if per_pair else draws[pairs.round_start]
    weights = lambdas.view(-1, *[1] * (inputs.dim() - 1))
    mixed = inputs[second].lerp_(inputs[first], weights)  # in place: images are large
    mixed_classes = torch.where(negatives > 0, classes, -1)[pairs.k]
    return HardNegatives(mixed, mixed_classes, first, second, lambdas)


def fixed_class_budget(samples_per_domain: int) -> int:
    """Return the budget of a class under 'fixed': half the batch of a domain, within 8 to 24.

    >>> [fixed_class_budget(n) for n in (8, 32, 64)]
    [8, 16, 24]
    """
    return min(max(samples_per_domain // 2, SMALLEST_FIXED_BUDGET), LARGEST_FIXED_BUDGET)


def allocate_budget(
    counts: Tensor, number: int, budget: str, per_class: int, total: int | None = None
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
    shares = shares / shares.sum() * total
    whole = shares.floor()
    by_remainder = torch.argsort(whole - shares, stable=True)
    missing = total - whole.sum()
    rounded_up = torch.arange(len(counts), device=counts.device) < missing
    return whole.scatter_add(0, by_remainder, rounded_up.to(whole.dtype)).long()


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


def _choose_pool_and_reach(
    counts: Tensor, negatives: Tensor, budgets: Tensor, strong: Tensor, weak: Tensor
) -> tuple[Tensor, Tensor]:
    """Return n_pool and n_reach of each class, (K,), both at least 1."""
    quarter, half, most = [(share * counts + 3) // 4 for share in (1, 2, 3)]
    pool = torch.where(half.clamp_min(2) * negatives >= budgets, half, most)
    pool = torch.where(quarter.clamp_min(2) * negatives >= budgets, quarter, pool).clamp_min(2)
    needed = (budgets + pool - 1) // pool  # negatives that fill the budget
    reach = torch.where(weak >= needed, weak, torch.minimum(needed, negatives))
    reach = torch.where(strong >= needed, strong, reach)

    third = (budgets + 2) // 3
    reach_of_one = torch.where(weak >= third, weak, negatives)
    reach_of_one = torch.where(2 * third <= negatives, third, reach_of_one)
    reach_of_one = torch.where(strong >= third, strong, reach_of_one)

    is_single = counts == 1
    pool = torch.where(is_single, 1, pool)
    return pool, torch.where(is_single, reach_of_one, reach).clamp_min(1)


class _Pairs(NamedTuple):
    """The parents of M mixed samples as places in the order of their class, all (M,).

    ``k`` is the class, ``first_rank`` and ``second_rank`` are columns of its order, and
    ``round_start`` is the number of the mixed sample whose λ the round shares.
    """

    k: Tensor
    first_rank: Tensor
    second_rank: Tensor
    round_start: Tensor


def _pair(
    counts: Tensor, negatives: Tensor, budgets: Tensor, pool: Tensor, reach: Tensor, total: int
) -> _Pairs:
    """Choose the parents of ``total`` samples; the tensors hold a number for each class, (K,)."""
    classes = torch.arange(len(counts), device=counts.device)
    k = classes.repeat_interleave(budgets, output_size=total)
    sample = torch.arange(total, device=counts.device)
    number = sample - (budgets.cumsum(0) - budgets)[k]  # of the sample within its class
    counts, negatives, pool, reach = counts[k], negatives[k], pool[k], reach[k]

    pairs = pool * reach
    is_later = number >= pairs  # than the first round
    among_negatives = is_later & (counts > 1) & (negatives > 1)
    round_size = torch.where(among_negatives, negatives, pairs)
    later = number - pairs
    place = torch.where(is_later, later % round_size, number)  # within the round
    shift = place // torch.lcm(pool, reach)  # how often both lists were back at their starts
    distance = 1 + later // round_size % (negatives - 1).clamp_min(1)
    positive_rank, negative_rank = negatives + place % pool, (place + shift) % reach
    first = torch.where(among_negatives, (place + distance) % round_size, positive_rank)
    second = torch.where(among_negatives, place, negative_rank)
    return _Pairs(k, first, second, torch.where(is_later, sample - place, 0))
