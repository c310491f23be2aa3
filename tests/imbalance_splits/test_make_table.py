import pytest

from imbalance_splits import InputError, table_for
from imbalance_splits.published import label_counts, published_table

OWN = {d: {"x": 120 + i, "y": 240, "z": 360} for i, d in enumerate("abcd")}


def test_a_named_split_is_the_published_table():
    table = table_for("VLCS", "Cross")
    assert table == published_table("VLCS", "Cross")
    assert table.train_counts["V"]["S"]["chair"] == 5  # adjusted by hand by the authors
    assert table_for("VLCS", "Cross", label_counts=label_counts("VLCS")) == table


def test_parameters_change_only_what_they_name():
    made = table_for("PACS", "TotalHeavyTail", parameters={"c": 3.0})
    assert made.train_counts == published_table("PACS", "TotalHeavyTail").train_counts
    assert set(made.validation_per_class.values()) == {15}
    assert table_for("PACS", "TotalHeavyTail", parameters={"c": 2.0}) != made


def test_another_dataset_is_generated_from_its_counts():
    table = table_for("own", "Duality", OWN)
    assert table.domains == ("a", "b", "c", "d")
    assert set(table.validation_per_class.values()) == {15}
    with pytest.raises(InputError, match="Duality of own: its label counts are not known"):
        table_for("own", "Duality")


def test_a_published_dataset_without_a_published_table_is_generated():
    table = table_for("DomainNet", "Cross")
    assert table.provenance["generator"] == "imbalance_splits"
    assert len(table.classes) == 345
