"""What is said of how much of a dataset a table keeps."""

import pytest

from imbalance_splits.datasets import HoldoutDataset, ImbalancedDataset
from imbalance_splits.errors import InputError
from imbalance_splits.kept import describe_kept
from imbalance_splits.labels import label_counts_of
from imbalance_splits.make_table import generate_table
from imbalance_splits.table import SplitTable
from tests.imbalance_splits.stand_ins import InMemory


def table(setting, **rows):
    """Return a table of one target, t, with the counts of its sources' two classes."""
    counts = {name: {"x": x, "y": y} for name, (x, y) in rows.items()}
    return SplitTable.from_json({"setting": setting, "train_counts": {"t": counts}}, "t.json")


def available(**rows):
    return {name: {"x": x, "y": y} for name, (x, y) in rows.items()}


def test_the_share_of_the_source_images_and_a_warning_below_a_fifth():
    counts = available(a=(600, 400), b=(200, 300), t=(9, 9))
    assert describe_kept(table("Cross", a=(200, 60), b=(30, 10)), counts, "t") == [
        "With target t, 300 of 1,500 source images are used for training (20.0%)"
    ]
    assert describe_kept(table("Cross", a=(200, 60), b=(29, 10)), counts, "t") == [
        "With target t, 299 of 1,500 source images are used for training (19.9%)",
        "warning: Cross keeps less than 20% of the source images for target t",
    ]


@pytest.mark.parametrize(
    ("largest", "warned"), [(7, []), (20, []), (21, ["b 20"]), (31, ["a 30, b 20"])]
)
def test_a_scarce_domain_that_is_not_the_scarcest_is_warned_of(largest, warned):
    counts = available(a=(30, 30), b=(40, 20), c=(50, 50), t=(900, 900))
    made = table("Duality", a=(20, 10), b=(10, 10), c=(largest - 1, 1))
    lines = describe_kept(made, counts, "t")[1:]
    assert lines == [
        "warning: Duality's scarce domain for target t, c, is not the scarcest: "
        f"it has {largest} images, {smaller}"
        for smaller in warned
    ]
    other = table("Cross", a=(20, 10), b=(10, 10), c=(largest - 1, 1))
    assert len(describe_kept(other, counts, "t")) == 1


def test_the_scarce_domain_is_the_one_without_validation_images():
    rows = {"w": [60] * 5, "x": [30] * 5, "y": [49, 49, 49, 0, 0], "t": [50] * 5}
    counts = {name: dict(zip("abcde", row, strict=True)) for name, row in rows.items()}
    made = generate_table("own", "Duality", counts, {"middle_range": (40, 50), "validation": 5})
    scarce = min(made.rows("t"), key=lambda name: sum(made.rows("t")[name].values()))
    assert scarce == "x"  # of 150 images 125 are left, of the 147 of y 132
    lines = describe_kept(made, counts, "t")
    assert not any("scarce domain for target t, y" in line for line in lines)


def test_sources_that_are_not_there_are_left_out():
    made = table("Duality", a=(20, 10), b=(10, 10))
    counts = available(a=(30, 30), t=(9, 9))
    (line,) = describe_kept(made, counts, "t")
    assert line == "With target t, 30 of 60 source images are used for training (50.0%)"
    assert describe_kept(made, {}, "t") == []
    with pytest.raises(InputError, match="no target 'a'"):
        describe_kept(made, counts, "a")


@pytest.mark.parametrize(("test_envs", "of_all"), [([1], 62 + 99), ([1, 0], 99)])
def test_a_split_dataset_says_what_it_keeps_of_its_own_sources(test_envs, of_all):
    made = generate_table("own", "Balanced", label_counts_of(InMemory("", [], {})))
    split = ImbalancedDataset(InMemory, "", test_envs, {}, made, trial_seed=0)
    kept = int(split.label_counts.sum())
    assert split.notes[:2] == [
        "Empty: Many, Few (every class that is trained on has the same mean)",
        f"With target b, {kept} of {of_all} source images are used for training "
        f"({kept / of_all:.1%})",
    ]
    assert len(split.notes) == 2 + (kept / of_all < 0.2)


def test_domainbeds_own_split_has_no_notes():
    assert HoldoutDataset(InMemory, "", [0], {}, trial_seed=0).notes == []
