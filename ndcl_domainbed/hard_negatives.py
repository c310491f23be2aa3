"""Hard negatives by confidence-based mixup: which samples are mixed, with which, and how much.

Source: Cao, Liu & Chen, "Negatives-Dominant Contrastive Learning for Generalization in Imbalanced
Domains", ICML 2026, arXiv:2601.21999, the confidence-based mixup and Appendix C.

The reading
-----------
A batch has N samples, n_k of class k, and p[i,k] is the predicted probability of k for sample i.
The *positives* of k are its samples in ascending order of p[k], the most uncertain first; the
*negatives* of k are all other samples in descending order of p[k], the most confident first. Ties
go to the sample that comes first. n_strong negatives have p[k] >= 2/K and n_weak have p[k] >= 1/K.

**Budget.** b_k samples are mixed for class k of the batch: 'frequency' gives it the share
exp(n_k/N) of N, 'equal' the same share as any other; shares are rounded down, and the largest
remainders (the lower class among equal ones) are rounded up, so that they add up to N. 'fixed'
gives each class ``per_class``.

**A class with n_k > 1.** Its ``n_pool`` most uncertain positives are paired with its ``n_reach``
most confident negatives:

- n_pool is 25 % of the positives, rounded up and at least 2; if pairing these with every negative
  makes fewer than b_k pairs, 50 %, and if that is too few as well, 75 %.
- n_reach is n_strong if n_pool x n_strong >= b_k, else n_weak if n_pool x n_weak >= b_k, else as
  few as fill the budget, ceil(b_k / n_pool), or all.
- The first b_k pairs are kept. Both lists run round side by side: positive 0 with negative 0, 1
  with 1, and so on; each time that both are back at their starts, the negatives shift by one. So
  no pair comes twice, and the cut falls on no sample more than on another.
- If the pairs do not fill the budget, the negatives are mixed among themselves: in round
  t = 1, 2, ... negative j is mixed with the one 1 + (t-1) mod (n_neg - 1) places further,
  cyclically. A single negative has no partner: then the pairs are made again.

**A class with n_k = 1.** A third of the budget is t = ceil(b_k / 3). n_reach is n_strong if that is
at least t; else t if that is at most half of the negatives; else n_weak if that is at least t; else
all. The positive is paired with each of them in turn, round after round, until the budget is full.

**Weights.** A mixed sample is λ x_first + (1-λ) x_second; the first parent is the positive, or in
the case of two negatives the one further down. All first-round pairs of the step share one λ, and
each later round of each class has its own; with ``per_pair`` every mixed sample has its own.

An example
----------
Samples 0 to 3 are of class 0, the rest of others; K = 4, so that p >= 1/2 is strong, >= 1/4 weak.

>>> labels = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2])
>>> p_0 = torch.tensor([0.9, 0.2, 0.8, 0.3, 0.5, 0.25, 0.6, 0.1])
>>> p = torch.cat([p_0[:, None], (1 - p_0[:, None]).expand(-1, 3) / 3], dim=1)
>>> images, generator = torch.rand(8, 3, 28, 28), torch.Generator().manual_seed(0)
>>> made = hard_negatives(images, labels, p, 0.2, generator, budget="fixed", per_class=5)
>>> made.classes.tolist()
[0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2]

The pool of class 0 is its two most uncertain samples, 1 and 3. Its strong negatives, 6 and 4, make
four pairs with them, one too few; with the weak negative 5 there are six, and five are kept.

>>> list(zip(made.first[:5].tolist(), made.second[:5].tolist()))
[(1, 6), (3, 4), (1, 5), (3, 6), (1, 4)]
>>> made.lambdas[:5].unique().numel()  # all are of the first round
1
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

BUDGETS = ("frequency", "equal", "fixed")
SMALLEST_FIXED_BUDGET, LARGEST_FIXED_BUDGET = 8, 24


class HardNegatives(NamedTuple):
    """Mixed samples, M of them.

    ``inputs`` (M, ...) are the mixtures; ``classes`` (M,) the class that each is a negative for,
    -1 for none; ``first`` and ``second`` (M,) the parents' places in the batch and ``lambdas`` (M,)
    the weight of the first. The samples of a class are in one run, classes in ascending order.
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
    per_pair: bool = False,
) -> HardNegatives:
    """Mix uncertain positives with confident negatives, as the head of this module says.

    ``inputs`` (N, ...) is a batch of floating type, ``labels`` (N,) its classes in 0..K-1,
    ``probabilities`` (N, K) the predictions for it, ``rho`` > 0 the parameter of Beta(ρ, ρ) and
    ``generator`` a CPU generator, from which 4 M numbers are drawn whatever the batch holds.

    The budgets 'frequency' and 'equal' make M = N samples without a synchronization with the
    device; 'fixed' makes ``per_class`` for each class in the batch, and reads back how many
    there are. A batch of one class has no negatives: the N samples are then of class -1 (reading
    back whether there are any would cost a synchronization in every other step), and with 'fixed'
    there are none. Raises ValueError for an unknown budget.
    """
    candidates = _candidate_classes(labels, probabilities.shape[1])
    is_positive = labels == candidates[:, None]
    counts = is_positive.sum(dim=1)
    budgets = class_budgets(counts, len(labels), budget, per_class)
    total = int(budgets.sum()) if budget == "fixed" else len(labels)
    ranking = _rank(probabilities, candidates, is_positive)
    pairs = _select_pairs(counts, budgets, total, ranking)
    has_negatives = counts < len(labels)
    classes = torch.where(has_negatives, candidates, -1)[pairs.row]
    first = ranking.order[pairs.row, pairs.first_rank]
    second = ranking.order[pairs.row, pairs.second_rank]
    draws = beta_draws(rho, total, generator).to(inputs.dtype)
    draws = draws.to(inputs.device, non_blocking=True)  # else the host waits for the device
    lambdas = draws if per_pair else draws[pairs.round_start]
    weights = lambdas.view(-1, *[1] * (inputs.dim() - 1))
    mixed = inputs[second].lerp_(inputs[first], weights)  # in place: images are large
    return HardNegatives(mixed, classes, first, second, lambdas)


def fixed_class_budget(samples_per_domain: int) -> int:
    """Return the budget of a class under 'fixed': half the batch of a domain, within 8 to 24.

    >>> [fixed_class_budget(n) for n in (8, 32, 64)]
    [8, 16, 24]
    """
    return min(max(samples_per_domain // 2, SMALLEST_FIXED_BUDGET), LARGEST_FIXED_BUDGET)


def class_budgets(counts: Tensor, number: int, budget: str, per_class: int) -> Tensor:
    """Return b_k, how many samples are mixed for each class, int64 (G,).

    ``counts`` (G,), int64, holds the samples of each class in the batch of ``number``; 0 gets 0.
    The sum is ``number`` for 'frequency' and 'equal'; with 'fixed' a class that is alone gets 0.

    >>> class_budgets(torch.tensor([8, 1, 0, 1]), 10, "frequency", 24)  # of 5.02, 2.49, 0, 2.49
    tensor([5, 3, 0, 2])
    """
    present = counts > 0
    if budget == "fixed":
        return torch.where(present & (present.sum() > 1), per_class, 0)
    if budget not in BUDGETS:
        raise ValueError(f"unknown budget {budget!r}; there are: {', '.join(BUDGETS)}")
    shares = present.to(_widest_float(counts.device))
    if budget == "frequency":
        # From a table, so that classes of one size have one share to the last digit.
        sizes = torch.arange(number + 1, dtype=shares.dtype, device=counts.device)
        shares = shares * (sizes / number).exp()[counts]
    shares = shares / shares.sum() * number
    whole = shares.floor()
    by_remainder = torch.argsort(whole - shares, stable=True)
    missing = number - whole.sum()
    rounded_up = torch.arange(len(counts), device=counts.device) < missing
    return whole.scatter_add(0, by_remainder, rounded_up.to(whole.dtype)).long()


def beta_draws(rho: float, number: int, generator: torch.Generator) -> Tensor:
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


def _candidate_classes(labels: Tensor, number_of_classes: int) -> Tensor:
    """Return G = min(K, N) class numbers that include all in ``labels`` (N,), in ascending order.

    With more classes than samples, those in the batch come first: work grows with N, not with K.
    """
    if number_of_classes <= len(labels):
        return torch.arange(number_of_classes, device=labels.device)
    present = labels.new_zeros(number_of_classes).scatter(0, labels, 1)
    return torch.argsort(present, descending=True, stable=True)[: len(labels)]


class _Ranking(NamedTuple):
    """The batch, ranked for each of G classes.

    A row of ``order`` (G, N) holds the class's negatives, the most confident first, and then its
    positives, the most uncertain first. ``strong`` and ``weak`` (G,) are n_strong and n_weak.
    """

    order: Tensor
    strong: Tensor
    weak: Tensor


def _rank(probabilities: Tensor, classes: Tensor, is_positive: Tensor) -> _Ranking:
    """Rank the batch for ``classes`` (G,); ``is_positive`` (G, N) marks the samples of each."""
    number_of_classes = probabilities.shape[1]
    p = probabilities.T[classes]
    # One sort for both: the keys of positives are above 0, those of negatives are not.
    keys = torch.where(is_positive, p.clamp_min(torch.finfo(p.dtype).tiny), -p)
    strong = (~is_positive & (p >= 2 / number_of_classes)).sum(dim=1)
    weak = (~is_positive & (p >= 1 / number_of_classes)).sum(dim=1)
    return _Ranking(keys.argsort(dim=1, stable=True), strong, weak)


class _Pairs(NamedTuple):
    """The parents of M mixed samples as places in a :class:`_Ranking`.

    ``row`` (M,) is the row of the sample's class, ``first_rank`` and ``second_rank`` (M,) are
    columns of it, and ``round_start`` (M,) is the number of the sample whose λ a round shares.
    """

    row: Tensor
    first_rank: Tensor
    second_rank: Tensor
    round_start: Tensor


def _select_pairs(counts: Tensor, budgets: Tensor, total: int, ranking: _Ranking) -> _Pairs:
    """Choose the parents of ``total`` samples; ``counts`` n_k and ``budgets`` b_k are (G,)."""
    device = counts.device
    negatives = ranking.order.shape[1] - counts
    pool, reach = _pool_and_reach(counts, negatives, budgets, ranking)
    rows = torch.arange(len(counts), device=device)
    row = rows.repeat_interleave(budgets, output_size=total)
    sample = torch.arange(total, device=device)
    number = sample - (budgets.cumsum(0) - budgets)[row]  # of the sample within its class
    counts, negatives, pool, reach = counts[row], negatives[row], pool[row], reach[row]

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
    return _Pairs(row, first, second, torch.where(is_later, sample - place, 0))


def _pool_and_reach(
    counts: Tensor, negatives: Tensor, budgets: Tensor, ranking: _Ranking
) -> tuple[Tensor, Tensor]:
    """Return n_pool and n_reach of each class, (G,), both at least 1."""
    strong, weak = ranking.strong, ranking.weak
    quarter, half, most = (
        (share * counts + 3).div(4, rounding_mode="floor") for share in (1, 2, 3)
    )
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
