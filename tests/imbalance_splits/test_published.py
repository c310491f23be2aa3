import pytest

from imbalance_splits.errors import InputError
from imbalance_splits.make_table import generate_table, table_for
from imbalance_splits.published import (
    DOMAINS,
    authors_datasets,
    label_counts,
    origin,
    published_datasets,
    published_settings,
    published_table,
)


@pytest.mark.parametrize("dataset", published_datasets())
def test_tables_fit_the_label_counts(dataset):
    counts = label_counts(dataset)
    assert set(counts) == set(DOMAINS[dataset])
    for domain, folder in DOMAINS[dataset].items():
        assert folder.lower().startswith(domain.lower())
    for setting in published_settings(dataset):
        table = published_table(dataset, setting)
        assert table.domains == tuple(DOMAINS[dataset])
        assert (table.dataset, table.setting) == (dataset, setting)
        if dataset in authors_datasets():
            assert "Alrash/NDCL" in table.provenance["source"]
        else:
            assert table.provenance["label_counts"] == origin(dataset)
        assert set(table.train_counts) == set(counts)
        for target, rows in table.train_counts.items():
            for source, row in rows.items():
                assert list(row) == list(counts[source])
                for name, count in row.items():
                    assert count + table.validation_per_class[target] <= counts[source][name]


def test_what_is_published():
    four = ["Cross", "Duality", "GINIDG", "TotalHeavyTail"]
    assert published_settings("PACS") == published_settings("VLCS") == four
    assert published_settings("OfficeHome") == ["Cross", "Duality", "TotalHeavyTail"]
    assert published_settings("DomainNet") == ["Duality", "TotalHeavyTail"]
    assert published_settings("DigitsDG") == []
    assert published_table("DomainNet", "Cross") is None
    for dataset in ("Office31", "OfficeCaltech10"):
        assert published_settings(dataset) == ["Cross", "Duality", "TotalHeavyTail"]


def test_an_unknown_dataset():
    with pytest.raises(InputError, match="did you mean 'PACS'"):
        label_counts("PAC")


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


def test_the_parameters_of_a_shipped_table_give_it_in_any_order_of_the_domains():
    shipped = label_counts("VLCS")
    for order in (list(shipped), list(DOMAINS["VLCS"])):
        made = table_for("VLCS", "Duality:c=3", {domain: shipped[domain] for domain in order})
        for target in "CLS":  # that of V was adjusted by hand
            assert made.rows(target) == table_for("VLCS", "Duality").rows(target)
        assert list(made.domains) == order


def test_another_dataset_of_the_name_has_no_fixed_table():
    assert table_for("PACS", "GINIDG") == published_table("PACS", "GINIDG")
    with pytest.raises(InputError, match="GINIDG is a fixed table and has none for PACS"):
        generate_table("PACS", "GINIDG", OWN)


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
