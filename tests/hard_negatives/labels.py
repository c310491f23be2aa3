"""Random labels for both pairings."""

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
