"""The pairing 'spread': pairs are dealt so that many positives and many negatives appear.

**Shares** are rounded down, and the largest remainders (the lower class on a tie) are rounded up,
so that they add up.

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

**Weights.** The first round of every class has the step's λ, each later round one of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ndcl_domainbed.hard_negatives.pairs import Pairing, Pairs


def _round_shares(shares: Tensor, total: int) -> Tensor:
    whole = shares.floor()
    by_remainder = torch.argsort(whole - shares, stable=True)
    missing = total - whole.sum()
    rounded_up = torch.arange(len(shares), device=shares.device) < missing
    return whole.scatter_add(0, by_remainder, rounded_up.to(whole.dtype)).long()


def _choose_pool_and_reach(
    positives: Tensor, negatives: Tensor, strong: Tensor, weak: Tensor, budgets: Tensor
) -> tuple[Tensor, Tensor]:
    """Return n_pool and n_reach of each class, (K,), both at least 1."""
    quarter, half, most = [(share * positives + 3) // 4 for share in (1, 2, 3)]
    pool = torch.where(half.clamp_min(2) * negatives >= budgets, half, most)
    pool = torch.where(quarter.clamp_min(2) * negatives >= budgets, quarter, pool).clamp_min(2)
    needed = (budgets + pool - 1) // pool  # negatives that fill the budget
    reach = torch.where(weak >= needed, weak, torch.minimum(needed, negatives))
    reach = torch.where(strong >= needed, strong, reach)

    third = (budgets + 2) // 3
    reach_of_one = torch.where(weak >= third, weak, negatives)
    reach_of_one = torch.where(2 * third <= negatives, third, reach_of_one)
    reach_of_one = torch.where(strong >= third, strong, reach_of_one)

    is_single = positives == 1
    pool = torch.where(is_single, 1, pool)
    return pool, torch.where(is_single, reach_of_one, reach).clamp_min(1)


def _pair(
    positives: Tensor, negatives: Tensor, pool: Tensor, reach: Tensor, number: Tensor
) -> Pairs:
    pairs = pool * reach
    is_later = number >= pairs  # than the first round
    among_negatives = is_later & (positives > 1) & (negatives > 1)
    round_size = torch.where(among_negatives, negatives, pairs)
    later = number - pairs
    place = torch.where(is_later, later % round_size, number)  # within the round
    shift = place // torch.lcm(pool, reach)  # how often both lists were back at their starts
    distance = 1 + later // round_size % (negatives - 1).clamp_min(1)
    positive_rank, negative_rank = negatives + place % pool, (place + shift) % reach
    first = torch.where(among_negatives, (place + distance) % round_size, positive_rank)
    second = torch.where(among_negatives, place, negative_rank)
    return Pairs(first, second, None, place, is_later)


SPREAD = Pairing(_round_shares, _choose_pool_and_reach, _pair, skips_classes=False)
