"""Balanced as the control of another setting."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from imbalance_splits.errors import InputError
from imbalance_splits.make_table import table_for
from imbalance_splits.published import label_counts, published_settings
from imbalance_splits.settings.balanced import spread
from imbalance_splits.shots import shot_groups
from tests.imbalance_splits.settings.test_all_settings import counted


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.data())
def test_a_total_is_spread_as_evenly_as_the_room_allows(data):
    sizes = data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=6))
    room = {f"d{i}": size for i, size in enumerate(sizes)}
    total = data.draw(st.integers(0, sum(sizes)))
    found = spread(total, room)
    assert sum(found.values()) == total
    assert all(0 <= found[name] <= room[name] for name in room)
    for name in room:  # who has room left has as much as any other, but for one image
        if found[name] < room[name]:
            assert found[name] >= max(found.values()) - 1


@pytest.mark.parametrize("like", ["TotalHeavyTail", "Cross:middle=0.5", "Exponential:factor=9"])
@given(counts=counted(), validation=st.none() | st.integers(0, 8))
@settings(deadline=None, derandomize=True, max_examples=15)
def test_the_control_has_the_size_and_the_validation_images_of_its_setting(
    like, counts, validation
):
    assume(len(counts["d0"]) > 1)
    more = {} if validation is None else {"validation": validation}
    model = table_for("own", like, counts, more)
    control = table_for("own", f"Balanced:like={like}", counts, more)
    assert control.setting == "Balanced"
    assert control.validation_per_class == model.validation_per_class
    for target in counts:
        mine, theirs = control.counts(target), model.counts(target)
        assert mine.sum() == theirs.sum()
        kept = control.validation_per_class[target]
        for source, row in zip(control.sources(target), mine, strict=True):
            assert all(row <= [counts[source][name] - kept for name in control.classes])
        by_class, groups = mine.sum(axis=0), shot_groups(mine, control.thresholds[target])
        for name, count, group in zip(control.classes, by_class, groups, strict=True):
            room = sum(counts[source][name] - kept for source in control.sources(target))
            assert count == room or count >= max(by_class) - 1
            assert group == "medium" or count == room


@pytest.mark.parametrize("dataset", ["PACS", "VLCS", "Office31"])
def test_a_published_table_has_a_control(dataset):
    for setting in published_settings(dataset):
        model = table_for(dataset, setting)
        control = table_for(dataset, f"Balanced:like={setting}")
        for target in model.train_counts:
            assert control.counts(target).sum() == model.counts(target).sum()
            by_class = control.counts(target).sum(axis=0)
            assert by_class.max() / by_class.min() <= model.counts(target).sum(axis=0).max()
        assert control.provenance["parameters"]["like"] == setting
    assert table_for("PACS", "Balanced:like=Cross", label_counts("PACS")) == table_for(
        "PACS", "Balanced", label_counts("PACS"), {"like": "Cross"}
    )


def test_a_dataset_with_the_name_of_a_published_one_gets_the_control_of_its_own_table():
    counts = {name: {"x": 90, "y": 40} for name in ("a", "b", "c")}
    model = table_for("own", "Cross", counts)
    control = table_for("PACS", "Balanced:like=Cross", counts)
    assert control.counts("a").sum() == model.counts("a").sum()


@pytest.mark.parametrize(
    ("like", "message"),
    [
        ("Duallity", "unknown setting 'Duallity'; did you mean 'Duality'"),
        (5, "Balanced: like is 5; it must be a setting's name"),
        ("GINIDG", "GINIDG"),
    ],
)
def test_settings_that_have_no_control(like, message):
    counts = {name: {"x": 90, "y": 40} for name in ("a", "b", "c")}
    with pytest.raises(InputError, match=message):
        table_for("own", "Balanced", counts, {"like": like})


def test_too_few_images_for_a_published_table_are_named():
    few = {domain: dict.fromkeys(row, 60) for domain, row in label_counts("PACS").items()}
    with pytest.raises(InputError, match="but after validation there are"):
        table_for("PACS", "Balanced:like=TotalHeavyTail", few)
