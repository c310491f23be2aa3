import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imbalance_splits.errors import InputError
from imbalance_splits.splitting import holdout_split, split_domain


def plain_split(labels, train_counts, validation, seed):
    """The rule, class by class, over lists."""
    train, val, test = [], [], []
    for k, count in enumerate(train_counts):
        indices = [i for i, label in enumerate(labels) if label == k]
        np.random.RandomState(seed).shuffle(indices)
        train += indices[:count]
        val += indices[count : count + validation]
        test += indices[count + validation :]
    return train, val, test


@st.composite
def domains(draw):
    sizes = draw(st.lists(st.integers(2, 40), min_size=1, max_size=6))
    validation = draw(st.integers(0, min(sizes)))
    counts = [draw(st.integers(0, size - validation)) for size in sizes]
    labels = [k for k, size in enumerate(sizes) for _ in range(size)]
    random.Random(draw(st.integers(0, 99))).shuffle(labels)
    return labels, counts, validation, draw(st.integers(0, 2**31 - 1))


@given(domains())
@settings(deadline=None, derandomize=True, max_examples=30)
def test_disjoint_complete_exact_and_as_restated(case):
    labels, counts, validation, seed = case
    parts = split_domain(labels, counts, validation, seed)
    together = np.concatenate([parts.train, parts.validation, parts.test])
    assert sorted(together.tolist()) == list(range(len(labels)))
    classes = len(counts)
    by_class = np.array(labels)
    assert np.bincount(by_class[parts.train], minlength=classes).tolist() == counts
    assert set(np.bincount(by_class[parts.validation], minlength=classes)) == {validation}
    assert {part.dtype for part in vars(parts).values()} == {np.dtype(np.int64)}
    train, val, test = plain_split(*case)
    assert parts.train.tolist() == train
    assert parts.validation.tolist() == val
    assert parts.test.tolist() == test


def test_the_labels_are_left_as_they_are_and_the_global_generator_too():
    labels = np.array([1, 0, 1, 0, 1, 0])
    np.random.seed(3)
    state = np.random.get_state()[1].copy()
    split_domain(labels, [1, 1], 1, seed=5)
    assert labels.tolist() == [1, 0, 1, 0, 1, 0]
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_too_few_images_say_domain_class_and_numbers():
    labels = [0] * 20 + [1] * 9 + [2] * 5
    with pytest.raises(InputError) as caught:
        split_domain(labels, [10, 5, 1], 5, 0, domain="sketch", classes=["cat", "dog", "house"])
    assert str(caught.value) == (
        "domain sketch, class dog: 5 training and 5 validation images asked for, but it has 9 "
        "(and 1 more of its classes).\n"
        "Use a table with smaller counts or fewer validation images: splits make generates one."
    )


def test_a_class_that_does_not_occur_takes_no_part():
    parts = split_domain([0, 0, 0, 2, 2, 2], [1, 0, 1], 1, seed=0)
    assert [len(part) for part in vars(parts).values()] == [2, 2, 2]
    with pytest.raises(InputError, match="class 1: 1 training and 1 validation images"):
        split_domain([0, 0, 0, 2, 2, 2], [1, 1, 1], 1, seed=0)


@pytest.mark.parametrize(
    ("labels", "counts", "validation", "message"),
    [
        ([0, 1, 2], [1, 1], 0, "labels from 0 to 2, but the split has 2 classes"),
        ([-1, 1], [1, 1], 0, "labels from -1 to 1"),
        ([0, 0, 0], [-1], 1, "must be >= 0"),
        ([0, 0, 0], [1], -1, "must be >= 0"),
    ],
)
def test_arguments_that_make_no_sense(labels, counts, validation, message):
    with pytest.raises(InputError, match=message):
        split_domain(labels, counts, validation, 0)


@given(st.integers(0, 200), st.floats(0, 0.99), st.integers(0, 2**31 - 1))
@settings(deadline=None, derandomize=True, max_examples=30)
def test_holdout_is_the_head_of_a_shuffled_list(size, fraction, seed):
    keys = list(range(size))
    np.random.RandomState(seed).shuffle(keys)
    rest, held = holdout_split(size, fraction, seed)
    n = int(size * fraction)
    assert held.tolist() == keys[:n]
    assert rest.tolist() == keys[n:]


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 2.0])
def test_holdout_fractions_outside_their_range(fraction):
    with pytest.raises(InputError, match="held-out fraction"):
        holdout_split(10, fraction, 0)
