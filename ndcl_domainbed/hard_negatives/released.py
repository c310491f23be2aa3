"""The pairing 'released': what the published implementation does, for fidelity.

Written from a description of that implementation, not from its code.

**Shares** are accumulated in the order of the classes, and a class gets the difference of the
rounded-up running sums, so that it can end up with none.

**A class with n_k > 1.** Where it has a weak negative,

- n_pool is 25 % of the positives, rounded up. If that is a single sample (n_k <= 4), the class gets
  no mixed sample in this step.
- n_reach is n_strong if n_pool x n_strong >= b_k, else n_weak if n_pool x n_weak >= b_k, else
  n_strong, or n_weak if no negative is strong.

Where it has none, n_pool is 75 % of the positives, rounded up, and n_reach is ceil(b_k / n_pool) in
the order of confidence, or all. The most uncertain positive takes all its pairs first, and the
first b_k pairs are kept. If they do not fill the budget, further rounds t = 1, 2, ... make them
again, and mix the negative j of each with another one: the positive keeps λ, and the rest is
λ x_further + (1-λ) x_j, x_further being 1 + (t-1) mod (n_reach - 1) places further among the
reached ones, cyclically. A single reached negative has no partner: then the pairs are repeated.

**A class with n_k = 1.** n_reach is the smaller of n_strong and half of the negatives (rounded
down) if that is at least a third of the budget; else half of the negatives if that is; else n_weak
if any is weak; else all. The positive is paired with each of them in turn, round after round, until
the budget is full.

**Weights.** All rounds have the step's λ, except those of a class with n_k = 1 after its first:
each of these has its own.

Where the description leaves a choice, the above takes the plainest: which two negatives are mixed
and with which weight, how half is rounded, that the third holds for the smaller of n_strong and
half, and that one weak negative is enough where n_k = 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ndcl_domainbed.hard_negatives.pairs import Pairing, Pairs


def _round_shares(shares: Tensor, _total: int) -> Tensor:
    rounding = torch.finfo(shares.dtype).eps ** 0.5  # a sum this little above a whole number is it
    running = (shares.cumsum(0) - rounding).ceil()
    return running.diff(prepend=running.new_zeros(1)).long()


def _choose_pool_and_reach(
    positives: Tensor, negatives: Tensor, strong: Tensor, weak: Tensor, budgets: Tensor
) -> tuple[Tensor, Tensor]:
    """Return n_pool of each class, (K,), 0 for one that gets no mixed sample, and n_reach >= 1."""
    quarter, most = (positives + 3) // 4, (3 * positives + 3) // 4
    pool = torch.where(weak > 0, torch.where(quarter > 1, quarter, 0), most)
    reach = torch.where(strong > 0, strong, weak)
    reach = torch.where(pool * weak >= budgets, weak, reach)
    reach = torch.where(pool * strong >= budgets, strong, reach)
    needed = (budgets + most - 1) // most.clamp_min(1)
    reach = torch.where(weak > 0, reach, torch.minimum(needed, negatives))

    half = negatives // 2
    confident = torch.minimum(strong, half)
    reach_of_one = torch.where(weak > 0, weak, negatives)
    reach_of_one = torch.where(3 * half >= budgets, half, reach_of_one)
    reach_of_one = torch.where(3 * confident >= budgets, confident, reach_of_one)

    is_single = positives == 1
    pool = torch.where(is_single, 1, pool) * (negatives > 0)
    return pool, torch.where(is_single, reach_of_one, reach).clamp_min(1)


def _pair(
    positives: Tensor, negatives: Tensor, pool: Tensor, reach: Tensor, number: Tensor
) -> Pairs:
    place, turn = number % (pool * reach), number // (pool * reach)
    second = place % reach
    distance = 1 + (turn - 1) % (reach - 1).clamp_min(1)
    is_later, is_single = turn > 0, positives == 1
    third = torch.where(is_later & ~is_single, (second + distance) % reach, second)
    first = negatives + place // reach
    return Pairs(first, second, third, place, is_later & is_single)


RELEASED = Pairing(_round_shares, _choose_pool_and_reach, _pair, skips_classes=True)
