"""Splits of datasets in which domains lack classes, and of those that fix their split."""

import numpy as np
import pytest

from imbalance_splits.datasets import FixedSplitDataset
from imbalance_splits.errors import InputError
from imbalance_splits.shots import shot_groups
from tests.imbalance_splits.stand_ins import InMemory
from tests.imbalance_splits.test_datasets import check_promises, imbalanced, table_of


class Gaps(InMemory):
    """A source and the target lack a class, and one class is in the target alone."""

    SIZES = ((30, 0, 12, 0), (14, 25, 40, 0), (33, 33, 0, 20))


@pytest.mark.parametrize("setting", ["TotalHeavyTail", "Cross", "Duality", "Exponential"])
def test_a_class_that_a_domain_lacks_has_a_count_of_zero(setting):
    split = imbalanced([2], Gaps, table_of(Gaps, setting))
    check_promises(split, Gaps("", [], {}))
    assert (split.label_counts > 0).tolist() == [[1, 0, 1, 0], [1, 1, 1, 0]]
    assert split.shot_groups[3] == "zero"
    assert split.notes[:3] == [
        "domain a has no image of 1, 3",
        "domain b has no image of 3",
        "domain c has no image of 2",
    ]
    balanced = [int(label) for _, label in split.evaluation_sets[0, "val"]]
    assert np.bincount(balanced, minlength=4).tolist() == [2, 0, 2, 0]


class Fixed(InMemory):
    SIZES = ((2, 2), (2, 1), (2, 2))
    FIXED_SPLIT = (
        ("train", "train", "val", "test"),
        ("train", "train", "val"),
        ("val", "test", "train", "test"),
    )


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (2, {(0, "in"): [0, 1], (0, "out"): [3], (0, "val"): [2], (1, "in"): [0, 1],
             (1, "out"): [2], (1, "val"): [2], (2, "in"): [1, 3], (2, "out"): [0]}),
        (1, {(0, "in"): [0, 1], (0, "out"): [3], (0, "val"): [2], (1, "in"): [0, 1],
             (1, "out"): [2], (2, "in"): [2], (2, "out"): [1, 3], (2, "val"): [0]}),
    ],
)  # fmt: skip
def test_a_fixed_split_is_used_as_it_stands(target, expected):
    split = FixedSplitDataset(Fixed, "", [target], {})
    assert {key: part.indices for key, part in split.evaluation_sets.items()} == expected
    assert [train.indices for train in split.train_sets] == [
        expected[env, "in"] for env in range(3) if env != target
    ]
    assert split.shot_groups == shot_groups(split.label_counts, split.thresholds)
    assert any("the split is the list's own" in note for note in split.notes)


def test_a_fixed_split_needs_training_images_in_every_source():
    class Held(Fixed):
        FIXED_SPLIT = (("val",) * 4, *Fixed.FIXED_SPLIT[1:])

    with pytest.raises(InputError, match="domain a has no image whose split is train"):
        FixedSplitDataset(Held, "", [2], {})
