"""The pairing 'spread' once more, in loops over classes and samples, and batches."""

import itertools
import math
from typing import NamedTuple

import torch

from ndcl_domainbed.hard_negatives import hard_negatives


def generator_of(seed):
    return torch.Generator().manual_seed(seed)


class Batch(NamedTuple):
    inputs: torch.Tensor
    labels: torch.Tensor
    p: torch.Tensor


def make_batch(labels, k, seed=0):
    """A batch with random predictions."""
    generator = generator_of(seed)
    n = len(labels)
    p = (2 * torch.randn(n, k, generator=generator, dtype=torch.float64)).softmax(dim=1)
    inputs = torch.randn(n, 2, 3, generator=generator, dtype=torch.float64)
    return Batch(inputs, torch.tensor(labels), p)


def mix(batch, seed=0, rho=0.2, **options):
    return hard_negatives(*batch, rho, generator_of(seed), **options)


def pair_class_0(labels, values, per_class, k=4, **options):
    """Return the parents for class 0 if p[i,0] are the ``values``; the rest is spread evenly."""
    p0 = torch.tensor(values, dtype=torch.float64)[:, None]
    p = torch.cat([p0, ((1 - p0) / (k - 1)).expand(-1, k - 1)], dim=1)
    inputs = torch.arange(len(labels), dtype=torch.float64)[:, None]
    batch = Batch(inputs, torch.tensor(labels), p)
    mixed = mix(batch, budget="fixed", per_class=per_class, **options)
    own = mixed.classes == 0
    return list(zip(mixed.first[own].tolist(), mixed.second[own].tolist(), strict=True))


class Mixed(NamedTuple):
    """One mixed sample; those of one ``round`` share λ, and all first rounds are the round 0."""

    k: int
    first: int
    second: int
    round: tuple[int, int]


FIRST_ROUND = (-1, 0)


def plain_budgets(counts, mode, per_class):
    """The number of samples for each class, by largest remainders."""
    present = [k for k, n in enumerate(counts) if n > 0]
    number = sum(counts)
    if mode == "fixed":
        return {k: per_class if len(present) > 1 else 0 for k in present}
    weights = {k: math.exp(counts[k] / number) if mode == "frequency" else 1.0 for k in present}
    shares = {k: number * weights[k] / sum(weights.values()) for k in present}
    budgets = {k: math.floor(share) for k, share in shares.items()}
    by_remainder = sorted(present, key=lambda k: (round(budgets[k] - shares[k], 12), k))
    for k in by_remainder[: number - sum(budgets.values())]:
        budgets[k] += 1
    return budgets


def plain_pairs(pool, reach):
    """All pairs of two lists, which run round side by side; see the module's docstring."""
    pairs, shift = [], 0
    for step in range(len(pool) * len(reach)):
        pairs.append((pool[step % len(pool)], reach[(step + shift) % len(reach)]))
        if (step + 1) % len(pool) == 0 and (step + 1) % len(reach) == 0:
            shift += 1
    assert len(set(pairs)) == len(pairs)
    return pairs


def plain_of_single(k, positive, negatives, strong, weak, budget):
    """A class with one positive: rounds of it with each of the negatives in reach."""
    third = math.ceil(budget / 3)
    if strong >= third:
        reach = strong
    elif third <= len(negatives) / 2:
        reach = third
    elif weak >= third:
        reach = weak
    else:
        reach = len(negatives)
    made = []
    for turn in itertools.count():
        for negative in negatives[:reach]:
            if len(made) == budget:
                return made
            made.append(Mixed(k, positive, negative, FIRST_ROUND if turn == 0 else (k, turn)))
    return made


def plain_of_several(k, positives, negatives, strong, weak, budget):
    """A class with several positives: a pool of them with negatives, then negatives alone."""
    for share in (0.25, 0.5, 0.75):
        pool = positives[: max(2, math.ceil(share * len(positives)))]
        if len(pool) * len(negatives) >= budget:
            break
    if len(pool) * strong >= budget:
        reach = strong
    elif len(pool) * weak >= budget:
        reach = weak
    else:
        reach = math.ceil(budget / len(pool))
    pairs = plain_pairs(pool, negatives[:reach])
    made = [Mixed(k, first, second, FIRST_ROUND) for first, second in pairs[:budget]]
    for turn in itertools.count(1):
        if len(negatives) == 1:
            more = pairs
        else:
            step = 1 + (turn - 1) % (len(negatives) - 1)
            more = [(x, y) for x, y in zip(negatives[step:] + negatives[:step], negatives)]  # noqa: B905
        for first, second in more:
            if len(made) == budget:
                return made
            made.append(Mixed(k, first, second, (k, turn)))
    return made


def count_classes(batch):
    labels = batch.labels.tolist()
    return [labels.count(k) for k in range(batch.p.shape[1])]


def select_by_class(batch, budgets, of_single, of_several):
    """What a pairing selects, class after class; none without a budget or without negatives."""
    labels, p = batch.labels.tolist(), batch.p.tolist()
    number_of_classes = batch.p.shape[1]
    made = []
    for k, budget in budgets.items():
        positives = sorted((i for i, y in enumerate(labels) if y == k), key=lambda i: (p[i][k], i))
        negatives = sorted((i for i, y in enumerate(labels) if y != k), key=lambda i: (-p[i][k], i))
        strong = sum(p[i][k] >= 2 / number_of_classes for i in negatives)
        weak = sum(p[i][k] >= 1 / number_of_classes for i in negatives)
        if not budget or not negatives:
            continue
        if len(positives) == 1:
            made += of_single(k, positives[0], negatives, strong, weak, budget)
        else:
            made += of_several(k, positives, negatives, strong, weak, budget)
    return made


def plain_selection(batch, mode="frequency", per_class=24):
    budgets = plain_budgets(count_classes(batch), mode, per_class)
    return select_by_class(batch, budgets, plain_of_single, plain_of_several)
