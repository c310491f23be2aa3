import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from imbalance_splits.shots import (
    GROUPS,
    RECORD_SUFFIXES,
    class_accuracies,
    describe_empty_groups,
    group_accuracies,
    macro_f1,
    overall_accuracy,
    shot_groups,
)
from imbalance_splits.table import Thresholds


@st.composite
def predicted(draw):
    classes = draw(st.integers(2, 9))
    size = draw(st.integers(1, 80))
    label = st.integers(0, classes - 1)
    labels = draw(st.lists(label, min_size=size, max_size=size))
    predictions = draw(st.lists(label, min_size=size, max_size=size))
    shots = draw(st.lists(st.sampled_from(GROUPS), min_size=classes, max_size=classes))
    return classes, labels, predictions, shots


@given(predicted())
@settings(deadline=None, derandomize=True, max_examples=30)
def test_as_restated_plainly_and_as_scikit_learn_has_it(case):
    classes, labels, predictions, shots = case
    accuracies = []
    for k in range(classes):
        of_k = [p == k for y, p in zip(labels, predictions, strict=True) if y == k]
        accuracies.append(sum(of_k) / len(of_k) if of_k else None)
    right = [y for y, p in zip(labels, predictions, strict=True) if y == p]
    counted = [np.bincount(which, minlength=classes) for which in (right, labels)]
    assert class_accuracies(*counted) == accuracies
    groups = group_accuracies(*counted, shots)
    assert list(groups) == list(GROUPS)
    for group, value in groups.items():
        members = [
            a for a, shot in zip(accuracies, shots, strict=True) if shot == group and a is not None
        ]
        expected = pytest.approx(sum(members) / len(members), abs=1e-12) if members else None
        assert value == expected
    assert overall_accuracy(*counted) == pytest.approx(accuracy_score(labels, predictions))
    expected = f1_score(labels, predictions, labels=sorted(set(labels)), average="macro")
    correct, total = counted
    taken = np.bincount(predictions, minlength=classes)
    assert macro_f1(correct, total, taken) == pytest.approx(expected)
    assert macro_f1(0 * correct, 0 * total, taken) is None


@given(
    st.lists(st.lists(st.integers(0, 50), min_size=4, max_size=4), min_size=1, max_size=5),
    st.integers(0, 40),
    st.integers(0, 40),
)
@settings(deadline=None, derandomize=True, max_examples=30)
def test_shot_groups_as_restated(counts, many, few):
    expected = []
    for k in range(4):
        mean = sum(row[k] for row in counts) / len(counts)
        if mean == 0:
            expected.append("zero")
        elif mean > many:
            expected.append("many")
        elif mean < few:
            expected.append("few")
        else:
            expected.append("medium")
    assert shot_groups(np.array(counts), Thresholds(many, few)) == expected


def test_the_limits_belong_to_medium():
    counts = np.array([[21, 20, 10, 9, 0], [21, 20, 10, 9, 0]])
    expected = ["many", "medium", "medium", "few", "zero"]
    assert shot_groups(counts, Thresholds(20, 10)) == expected
    assert set(RECORD_SUFFIXES) == set(GROUPS)


@pytest.mark.parametrize(
    ("row", "limits", "line"),
    [
        ([3, 2, 1], (2, 2), None),
        ([5, 5, 5], (5, 5), "Empty: Many, Few (every class that is trained on has the same mean)"),
        ([5, 5, 1], (3, 3), "Empty: Medium (there are only two different means)"),
        ([3, 2, 1], (9, 2), "Empty: Many (no class has such a mean)"),
        ([5, 5, 4], (6, 3), "Empty: Many, Few (no class has such a mean)"),  # as Balanced:like
        ([0, 0, 0], (1, 1), "Empty: Many, Medium, Few (no class has a training image)"),
        ([4, 4, 0], (4, 4), "Empty: Many, Few (every class that is trained on has the same mean)"),
    ],
)
def test_empty_groups_are_named_with_the_reason(row, limits, line):
    found = describe_empty_groups(np.array([row, row]), Thresholds(*limits))
    assert found == ([] if line is None else [line])


def test_no_image_is_neither_nan_nor_zero():
    nothing = np.zeros((2, 3), dtype=int)
    assert class_accuracies(*nothing) == [None] * 3
    assert overall_accuracy(*nothing) is None
    assert set(group_accuracies(*nothing, ["many", "few", "few"]).values()) == {None}
    only = np.array([[0, 0, 0], [2, 0, 0]])
    assert group_accuracies(*only, ["many", "few", "few"]) == {
        "many": 0.0,
        "medium": None,
        "few": None,
        "zero": None,
    }
