"""The pairing 'released' once more, in loops over classes and samples."""

import itertools
import math
from typing import NamedTuple

from tests.hard_negatives.plain_spread import count_classes, select_by_class


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
    total = round(scale * len(batch.labels))
    budgets = plain_budgets(count_classes(batch), mode, per_class, total)
    return select_by_class(batch, budgets, plain_of_single, plain_of_several)
