"""What a pairing is: a strategy, and the parents that it chooses for a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class Pairs(NamedTuple):
    """The parents of M mixed samples as columns of the order of their class, all (M,).

    ``third_rank`` is None if no sample has three parents, and else ``second_rank`` for those that
    have two. ``place`` numbers the samples of a round; the step's λ is shared by the rounds for
    which ``has_own_weight`` is False.
    """

    first_rank: Tensor
    second_rank: Tensor
    third_rank: Tensor | None
    place: Tensor
    has_own_weight: Tensor


class Pairing(NamedTuple):
    """A way to pair uncertain positives with confident negatives.

    ``round_shares(shares, total)`` turns the shares (K,) of the classes, which add up to ``total``,
    into whole budgets (K,). ``choose_pool_and_reach(positives, negatives, strong, weak, budgets)``
    takes n_k, N - n_k, n_strong, n_weak and b_k of each class, (K,), and returns n_pool and n_reach
    >= 1; if the strategy ``skips_classes``, n_pool = 0 leaves a class without mixed samples.
    ``pair(positives, negatives, pool, reach, number)`` chooses the parents of M mixed samples,
    which ``number`` (M,) counts within their classes; the other arguments, (M,), are those of the
    classes of these samples.
    """

    round_shares: Callable[[Tensor, int], Tensor]
    choose_pool_and_reach: Callable[..., tuple[Tensor, Tensor]]
    pair: Callable[..., Pairs]
    skips_classes: bool
