import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imbalance_splits.errors import InputError
from imbalance_splits.published import published_table
from imbalance_splits.shots import shot_groups
from imbalance_splits.table import SplitTable, Thresholds, default_thresholds


def small(**changes):
    parts = {
        "dataset": "own",
        "setting": "S",
        "domains": ("a", "b", "c"),
        "classes": ("x", "y"),
        "train_counts": {"c": {"b": {"y": 3, "x": 1}, "a": {"x": 5, "y": 7}}},
        "thresholds": {"c": Thresholds(4, 2)},
        "validation_per_class": {"c": 5},
    }
    return SplitTable(**{**parts, **changes})


def test_counts_follow_domains_and_classes():
    table = small()
    assert table.sources("c") == ["a", "b"]
    np.testing.assert_array_equal(table.counts("c"), [[5, 7], [1, 3]])
    np.testing.assert_array_equal(table.counts("c", ["b"]), [[1, 3]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"domains": ("a", "c")}, "target c: unknown domains b"),
        ({"classes": ("x", "y", "z")}, "source b: the classes differ.*Missing: z; extra: -"),
        ({"thresholds": {}}, "target c: thresholds need two numbers"),
        ({"thresholds": {"c": Thresholds(math.inf, 2)}}, "target c: thresholds need two numbers"),
        ({"thresholds": {"c": Thresholds(10**400, 2)}}, "target c: thresholds need two numbers"),
        ({"validation_per_class": {"c": 2**31}}, "validation_per_class is 2147483648; give a"),
        ({"thresholds": {"c": Thresholds(2, 4)}}, "target c: Many above 2 and Few below 4 overlap"),
        ({"validation_per_class": {}}, "target c: validation_per_class is None"),
        ({"train_counts": {}}, "it has no target domain"),
    ],
)
def test_contradictions_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        small(**changes)


def test_a_written_table_is_read_back(tmp_path):
    table = published_table("PACS", "Cross")
    table.write(tmp_path / "t.json")
    assert [path.name for path in tmp_path.iterdir()] == ["t.json"]
    data = json.loads((tmp_path / "t.json").read_text())
    assert SplitTable.from_json(data, "t.json", table.domains) == table


@given(st.lists(st.integers(1, 10**6), min_size=3, max_size=40, unique=True), st.integers(1, 4))
@settings(deadline=None, derandomize=True, max_examples=25)
def test_default_thresholds_cut_thirds(row, sources):
    limits = default_thresholds(np.tile(row, (sources, 1)))
    third = max(1, round(len(row) / 3))
    assert sum(n > limits.many for n in row) == third
    assert sum(n < limits.few for n in row) == third


def test_a_table_without_a_class_is_refused_in_these_words():
    with pytest.raises(InputError, match=r"^t\.json, target c, source a: it has no class"):
        SplitTable.from_json({"train_counts": {"c": {"a": {}}}}, "t.json")


def test_default_thresholds_of_few_classes_and_of_ties():
    assert default_thresholds(np.array([[9]])) == Thresholds(9, 9)
    assert default_thresholds(np.array([[9, 3]])) == Thresholds(6, 6)
    assert default_thresholds(np.array([[3, 3]])) == Thresholds(3, 3)
    assert default_thresholds(np.array([[4, 4, 4], [6, 6, 6]])) == Thresholds(5, 5)
    assert default_thresholds(np.array([[6, 5, 4, 3, 2, 1]])) == Thresholds(4, 3)


@given(st.lists(st.integers(1, 6), min_size=3, max_size=40), st.integers(1, 3))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_ties_leave_no_group_empty_where_the_means_differ(row, sources):
    counts = np.tile(row, (sources, 1))
    groups = set(shot_groups(counts, default_thresholds(counts)))
    expected = {1: {"medium"}, 2: {"many", "few"}}
    assert groups == expected.get(len(set(row)), {"many", "medium", "few"})


def test_default_thresholds_do_not_depend_on_the_order_of_classes():
    one = {"x": 60, "y": 30, "z": 20, "w": 1}
    same, other = (
        SplitTable.from_json({"train_counts": {"t": {"a": one, "b": row}}}, "t.json")
        for row in (one, dict(reversed(one.items())))
    )
    assert same == other


def test_classes_without_an_image_do_not_leave_few_empty():
    counts = np.array([[5, 4, 3, 0, 0, 0]])
    groups = shot_groups(counts, default_thresholds(counts))
    assert groups == ["many", "medium", "few", "zero", "zero", "zero"]
