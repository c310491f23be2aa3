"""Random batches for both pairings."""

import torch
from hypothesis import strategies as st

from tests.hard_negatives.plain_spread import generator_of


@st.composite
def shuffled_labels(draw, numbers_of_classes, largest):
    """Labels of up to 8 classes with 1 to ``largest`` samples each, their K, and a seed."""
    k = draw(st.sampled_from(numbers_of_classes))
    present = draw(st.lists(st.integers(0, k - 1), min_size=1, max_size=8, unique=True))
    sizes = draw(st.lists(st.integers(1, largest), min_size=len(present), max_size=len(present)))
    labels = [y for y, size in zip(present, sizes, strict=True) for _ in range(size)]
    seed = draw(st.integers(0, 10**6))
    order = torch.randperm(len(labels), generator=generator_of(seed))
    return torch.tensor(labels)[order].tolist(), k, seed


CONFIDENCES = ("random", "random with ties", "certain", "no strong negative")


def make_confident(batch, confidence, k):
    """Return the batch with predictions in which some kinds of negatives are missing."""
    own = torch.nn.functional.one_hot(batch.labels, k).double()
    if confidence == "random with ties":
        return batch._replace(p=(batch.p * 4).round() / 4)
    if confidence == "certain":  # p[k] of the negatives is below 1/K
        return batch._replace(p=0.9 * own + 0.1 * batch.p / k)
    if confidence == "no strong negative":
        p = torch.where(batch.p > 1 / k, 1.5 / k, batch.p / k)
        return batch._replace(p=torch.where(own > 0, batch.p, p))
    return batch
