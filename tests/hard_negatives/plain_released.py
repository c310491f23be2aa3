"""The pairing 'released' once more, in loops over classes and samples."""

import itertools
import math
from typing import NamedTuple


class Mixed(NamedTuple):
    """One mixed sample; ``weight`` names the λ that it shares: the step's, or that of a round."""

    k: int
    first: int
    second: int
    third: int
    weight: tuple[str, int] | str


def plain_budgets(counts, mode, per_class, total):
    """The number of samples for each class: steps of the rounded-up running sums."""
    present = [k for k, n in enumerate(counts) if n > 0]
    if mode == "fixed":
        return dict.fromkeys(present, per_class)
    number = sum(counts)
    weights = {k: math.exp(counts[k] / number) if mode == "frequency" else 1.0 for k in present}
    budgets, running, given = {}, 0.0, 0
    for k in present:
        running += total * weights[k] / sum(weights.values())
        budgets[k] = math.ceil(round(running, 6)) - given
        given += budgets[k]
    assert given == total
    return budgets


def plain_of_single(k, positive, negatives, strong, weak, budget):
    """A class with one positive: rounds of it with the negatives that are reached."""
    half = len(negatives) // 2
    if min(strong, half) >= budget / 3:
        reach = min(strong, half)
    elif half >= budget / 3:
        reach = half
    elif weak:
        reach = weak
    else:
        reach = len(negatives)
    made = []
    for turn in itertools.count():
        for negative in negatives[:reach]:
            if len(made) == budget:
                return made
            made.append(Mixed(k, positive, negative, negative, (k, turn) if turn else "step"))
    return made


def plain_of_several(k, positives, negatives, strong, weak, budget):
    """A class with several positives: one after the other with all negatives that are reached."""
    if weak:
        pool = positives[: math.ceil(0.25 * len(positives))]
        if len(pool) == 1:
            return []
        if len(pool) * strong >= budget:
            reached = negatives[:strong]
        elif len(pool) * weak >= budget or not strong:
            reached = negatives[:weak]
        else:
            reached = negatives[:strong]
    else:
        pool = positives[: math.ceil(0.75 * len(positives))]
        reached = negatives[: math.ceil(budget / len(pool))]
    made = []
    for turn in itertools.count():
        for positive in pool:
            for place, negative in enumerate(reached):
                if len(made) == budget:
                    return made
                other = negative
                if turn and len(reached) > 1:
                    distance = 1 + (turn - 1) % (len(reached) - 1)
                    other = reached[(place + distance) % len(reached)]
                    assert other != negative
                made.append(Mixed(k, positive, negative, other, "step"))
    return made


def plain_selection(batch, mode="frequency", per_class=24, scale=1.0):
    labels, p = batch.labels.tolist(), batch.p.tolist()
    number_of_classes = batch.p.shape[1]
    counts = [labels.count(k) for k in range(number_of_classes)]
    made = []
    total = round(scale * len(labels))
    for k, budget in plain_budgets(counts, mode, per_class, total).items():
        if budget == 0:
            continue
        positives = sorted((i for i, y in enumerate(labels) if y == k), key=lambda i: (p[i][k], i))
        negatives = sorted((i for i, y in enumerate(labels) if y != k), key=lambda i: (-p[i][k], i))
        strong = sum(p[i][k] >= 2 / number_of_classes for i in negatives)
        weak = sum(p[i][k] >= 1 / number_of_classes for i in negatives)
        if negatives and len(positives) == 1:
            made += plain_of_single(k, positives[0], negatives, strong, weak, budget)
        elif negatives:
            made += plain_of_several(k, positives, negatives, strong, weak, budget)
    return made
