"""Hard negatives by confidence-based mixup: which samples are mixed, with which, and how much.

Source: Cao, Liu & Chen, "Negatives-Dominant Contrastive Learning for Generalization in Imbalanced
Domains", ICML 2026, arXiv:2601.21999, the confidence-based mixup and Appendix C.

The reading
-----------
A batch has N samples, n_k of class k, and p[i,k] is the predicted probability of k for sample i.
The *positives* of k are its samples in ascending order of p[k], the most uncertain first; the
*negatives* of k are all other samples in descending order of p[k], the most confident first. Ties
go to the sample that comes first. n_strong negatives have p[k] >= 2/K and n_weak have p[k] >= 1/K.

Budget b_k of a class in the batch: 'frequency' gives it the share exp(n_k/N) of N, 'equal' the
same share as any other; shares are rounded down, and the largest remainders (the lower class among
equal ones) are rounded up, so that they add up to N. 'fixed' gives each class ``per_class``.

Classes with n_k > 1. The *pool* is the most uncertain 25 % of the positives, rounded up and at
least 2; if it is too small, that is if pairing it with every negative makes fewer than b_k pairs,
50 %, and if that is too small, 75 %. The *reach* is how many of the first negatives are used:
n_strong if pool x n_strong >= b_k, else n_weak if pool x n_weak >= b_k, else as few as fill the
budget, ceil(b_k / pool), or all. The first b_k pairs of pool and reach are kept, dealt out so that
the cut falls on no sample more than on another: both lists run round side by side, positive 0 with
negative 0, 1 with 1, and so on, the second list shifted by one each time that both are back at
their starts. So no pair comes twice, min(pool, b_k) positives and min(reach, b_k) negatives appear,
and they are the most uncertain and the most confident ones. If the pairs do not fill the budget,
the negatives are mixed among themselves: in round t = 1, 2, ... negative j is mixed with the
negative 1 + (t-1) mod (n_neg - 1) places further, cyclically. A single negative has no partner:
then the pairs are made again.

Classes with n_k = 1. A third of the budget is t = ceil(b_k / 3). The reach is n_strong if that is
at least t; else t if that is at most half of the negatives; else n_weak if that is at least t; else
all. The positive is paired with each of them in turn, round after round, until the budget is full.

Weights. A mixed sample is λ x_first + (1-λ) x_second; the first parent is the positive, or in the
case of two negatives the one further down. All first-round pairs of the step share one λ, and each
later round of each class has its own; with ``per_pair`` every mixed sample has its own.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

BUDGETS = ("frequency", "equal", "fixed")
SMALLEST_FIXED_BUDGET, LARGEST_FIXED_BUDGET = 8, 24
LARGEST_TABLE = 256
"""Batches of up to so many samples have a table of plans, of 2 MB for the largest."""


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


class _Selection(NamedTuple):
    """What is mixed: for the j-th sample the batch's ranks ``first`` and ``second`` in ``row``.

    ``order`` (G, N) holds the batch as ranked for each of ``classes`` (G,), of which one without
    negatives is -1. ``row``, ``first``, ``second`` and ``draws``, which draw of λ a sample takes,
    are (M,).
    """

    order: Tensor
    classes: Tensor
    row: Tensor
    first: Tensor
    second: Tensor
    draws: Tensor


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

    The budgets 'frequency' and 'equal' make M = N samples without a synchronisation with the
    device; 'fixed' makes ``per_class`` for each class in the batch, and reads back how many
    there are. A batch of one class has no negatives: the N samples are then of class -1 (reading
    back whether there are any would cost a synchronisation in every other step), and with 'fixed'
    there are none. Raises ValueError for an unknown budget.
    """
    with torch.inference_mode():  # a tenth less for each of a hundred operators
        chosen = _choose(labels, probabilities, budget, per_class)
        draws = beta_draws(rho, len(chosen.row), generator).to(inputs.dtype)
        draws = draws.to(inputs.device, non_blocking=True)  # else the host waits for the device
    # of what follows, training may keep tensors for its backward pass
    classes = chosen.classes.index_select(0, chosen.row)
    first, second = chosen.order[chosen.row, chosen.first], chosen.order[chosen.row, chosen.second]
    lambdas = draws.clone() if per_pair else draws.index_select(0, chosen.draws)
    mixed = inputs.index_select(0, second)  # a copy, and the only memory of this size kept
    mixed = mixed.lerp_(inputs.index_select(0, first), lambdas.view(-1, *[1] * (inputs.dim() - 1)))
    return HardNegatives(mixed, classes, first, second, lambdas)


def fixed_class_budget(samples_per_domain: int) -> int:
    """Return the budget of a class under 'fixed': half the batch of a domain, within 8 to 24."""
    return min(max(samples_per_domain // 2, SMALLEST_FIXED_BUDGET), LARGEST_FIXED_BUDGET)


def class_budgets(counts: Tensor, number: int, budget: str, per_class: int) -> Tensor:
    """Return how many samples are mixed for each class, int64 (G,), as the module's head says.

    ``counts`` (G,), int64, holds the samples of each class in the batch of ``number``; 0 gets 0.
    The sum is ``number`` for 'frequency' and 'equal'; with 'fixed' a class that is alone gets 0.
    """
    if budget == "fixed":
        present = counts > 0
        return torch.where(present & (present.sum() > 1), per_class, 0)
    if budget not in BUDGETS:
        raise ValueError(f"unknown budget {budget!r}; there are: {', '.join(BUDGETS)}")
    table = _shares(number, budget, counts.device, _most_exact(counts.device))
    shares = table.index_select(0, counts)  # classes of one size have one share, to the last digit
    shares.div_(shares.sum()).mul_(number)
    whole = shares.floor()
    by_remainder = torch.argsort(whole - shares, stable=True)
    missing = number - whole.sum()
    added = torch.arange(len(counts), dtype=whole.dtype, device=counts.device).lt_(missing)
    return whole.scatter_add_(0, by_remainder, added).long()


@lru_cache(maxsize=8)
def _shares(number: int, budget: str, device: torch.device, exact: torch.dtype) -> Tensor:
    """Return the share (number + 1,), before they add up, of a class of 0, 1, ... samples."""
    counts = torch.arange(number + 1, dtype=exact, device=device)
    present = counts.clamp(max=1)
    return present * (counts / number).exp() if budget == "frequency" else present


def beta_draws(rho: float, number: int, generator: torch.Generator) -> Tensor:
    """Return ``number`` draws from Beta(ρ, ρ), float64, on the generator's device.

    X / (X + Y) of two Gamma(ρ) draws. Each is made in log space as log Gamma(ρ+1) + log(U) / ρ, so
    that no draw underflows to 0/0 however small ρ is.
    """
    shape = torch.full((2, number), rho + 1, dtype=torch.float64, device=generator.device)
    gammas = torch._standard_gamma(shape, generator=generator)
    uniforms = shape.uniform_(generator=generator)  # in [0, 1)
    x, y = uniforms.neg_().log1p_().div_(rho).add_(gammas.log_())
    return (x - y).sigmoid_()


def _most_exact(device: torch.device) -> torch.dtype:
    """Return float64, or float32 on MPS, which has no wider type."""
    return torch.float32 if device.type == "mps" else torch.float64


def _choose(labels: Tensor, probabilities: Tensor, budget: str, per_class: int) -> _Selection:
    """Return what is mixed, as the head of this module says."""
    classes = _classes(labels, probabilities.shape[1])
    positive = labels == classes.unsqueeze(1)
    counts = positive.sum(dim=1)
    budgets = class_budgets(counts, len(labels), budget, per_class)
    total = len(labels) if budget != "fixed" else int(budgets.sum())
    ranked = _ranked(probabilities, classes, positive)
    return _select(classes, counts, budgets, total, *ranked)


def _classes(labels: Tensor, number_of_classes: int) -> Tensor:
    """Return classes (G,) in ascending order that include all in ``labels`` (N,), G <= N.

    If there are more classes than samples, the ones present come first. All of them are returned
    if they are no more than the samples; looking which are present would cost more than it saves.
    """
    if number_of_classes <= len(labels):
        return torch.arange(number_of_classes, device=labels.device)
    present = labels.new_zeros(number_of_classes, dtype=torch.uint8).scatter_(0, labels, 1)
    return torch.argsort(present, descending=True, stable=True)[: len(labels)]


def _ranked(probabilities: Tensor, classes: Tensor, positive: Tensor) -> tuple[Tensor, ...]:
    """Return the batch ranked for each of ``classes`` (G,), (G, N), and n_strong and n_weak, (G,).

    A row holds the negatives, the most confident first, and then the positives that ``positive``
    (G, N) marks, the most uncertain first. One sort does both: a positive's key is above 0, a
    negative's is not.
    """
    number_of_classes, p = probabilities.shape[1], probabilities.T
    if len(classes) < number_of_classes:
        p = p.index_select(0, classes)
    keys = torch.where(positive, p.clamp_min(torch.finfo(p.dtype).tiny), -p)
    keys, order = keys.sort(dim=1, stable=True)
    thresholds = _thresholds(number_of_classes, len(keys), keys.dtype, keys.device)
    strong, weak = torch.searchsorted(keys, thresholds, right=True).unbind(dim=1)
    return order, strong, weak


@lru_cache(maxsize=8)
def _thresholds(classes: int, rows: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the keys -2/K and -1/K, (G, 2): of a strong and of a weak negative in each row."""
    return torch.tensor([-2 / classes, -1 / classes], dtype=dtype, device=device).repeat(rows, 1)


def _select(
    classes: Tensor, counts: Tensor, budgets: Tensor, total: int, *ranked: Tensor
) -> _Selection:
    """Return the parents of ``total`` mixed samples; ``classes``, ``counts``, ``budgets`` (G,)."""
    order, strong, weak = ranked
    number = order.shape[1]
    negatives = number - counts
    if total == number <= LARGEST_TABLE:  # looking up takes a fourth of the time
        place = counts * (number + 1) + budgets
        plan = _Plan(*_plans(number, counts.device).index_select(1, place).unbind())
    else:
        plan = _Plan.of(counts, budgets, number)
    reach = torch.where(weak >= plan.weak_from, weak, plan.least)
    reach = torch.where(strong >= plan.fill, strong, reach)
    ends = budgets.cumsum(0)
    start = ends - budgets
    named = classes.masked_fill(negatives == 0, -1)
    own = torch.arange(total, device=classes.device)
    row = torch.searchsorted(ends, own, right=True)
    per_class = torch.stack([counts, negatives, plan.pool, reach, start])
    counts, negatives, pool, reach, start = per_class.index_select(1, row).unbind()
    first, second, place, is_later = _deal(own - start, counts, negatives, pool, reach)
    return _Selection(order, named, row, first, second, (own - place) * is_later)


class _Plan(NamedTuple):
    """What the numbers of samples and of mixed samples of a class say of how it is paired.

    ``pool`` positives are paired with the strong negatives if there are ``fill`` of them, else with
    the weak ones if there are ``weak_from``, else with ``least`` negatives; all are >= 1.
    """

    pool: Tensor
    fill: Tensor
    weak_from: Tensor
    least: Tensor

    @classmethod
    def of(cls, counts: Tensor, budgets: Tensor, number: int) -> _Plan:
        """Take ``counts`` and ``budgets`` (...) of classes in a batch of ``number`` samples."""
        negatives = number - counts
        quarters = torch.stack([counts, 2 * counts, 3 * counts])
        pools = quarters.add_(3).floor_divide_(4).clamp_min_(2)
        too_small = (pools[:2] * negatives < budgets).sum(dim=0, keepdim=True)  # 2: even half
        pool = pools.gather(0, too_small)[0]
        alone = counts == 1
        parts = pool.masked_fill(alone, 3)
        fill = (budgets + parts).sub_(1).floor_divide_(parts).clamp_min_(1)
        half = alone & (2 * fill <= negatives)
        least = torch.where(alone & ~half, negatives, torch.minimum(fill, negatives))
        weak_from = fill.masked_fill(half, number + 1)
        return cls(pool.masked_fill_(alone, 1), fill, weak_from, least.clamp_min_(1))


@lru_cache(maxsize=8)
def _plans(number: int, device: torch.device) -> Tensor:
    """Return the plans (4, (number + 1)²) for all counts and budgets from 0 to ``number``."""
    numbers = torch.arange(number + 1, device=device)
    counts, budgets = torch.meshgrid(numbers, numbers, indexing="ij")
    return torch.stack(_Plan.of(counts, budgets, number)).flatten(1)


def _deal(
    place: Tensor, counts: Tensor, negatives: Tensor, pool: Tensor, reach: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the ranks of the parents of the j-th sample of a class, and its round.

    All are (M,): ``place`` is j, the others are figures of the sample's class. Ranks are columns of
    :func:`_ranked`; of the round, its place in it and whether it is a later one than the first.
    """
    pairs = pool * reach
    later = place - pairs
    is_later = later >= 0
    among_negatives = is_later & (torch.minimum(counts, negatives) > 1)
    size = torch.where(among_negatives, negatives, pairs)
    place = torch.where(is_later, later % size, place)
    positive = (place % pool).add_(negatives)
    negative = (place // torch.lcm(pool, reach)).add_(place).remainder_(reach)
    step = (later // size).remainder_((negatives - 1).clamp_min_(1)).add_(1)
    first = torch.where(among_negatives, step.add_(place).remainder_(size), positive)
    second = torch.where(among_negatives, place, negative)
    return first, second, place, is_later
