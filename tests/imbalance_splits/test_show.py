from imbalance_splits.make_table import table_for
from imbalance_splits.show import format_table


def cells(text):
    """Return the words of each line of a table's body by its first word."""
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.split()}


def test_a_small_table_has_a_row_for_each_domain():
    text = format_table(table_for("PACS", "TotalHeavyTail"), ["S"])
    rows = cells(text)
    counts = [85, 32, 5, 2, 3, 18, 333]
    assert rows["P"] == [*map(str, counts), str(sum(counts)), f"{333 / 2:.1f}"]
    assert rows["mean"][0] == f"{(178 + 183 + 85) / 3:.1f}"
    assert rows["shot"] == ["Many", "Medium", "Medium", "Few", "Few", "Medium", "Many"]
    assert "Many above 120, Few below 6 images on average: 2 Many, 3 Medium, 2 Few, 0 Zero" in text
    assert "Target S: 1686 training images, 15 for validation" in text
    assert "Alrash/NDCL" in text
    assert "Target A" not in text


def test_a_large_table_has_a_row_for_each_class():
    table = table_for("OfficeHome", "Duality")
    rows = cells(format_table(table, ["A"]))
    assert rows["Candles"] == ["1", "2", "75", "26.0", "Many"]
    assert set(table.classes) <= set(rows)
    assert rows["total"][:3] == [str(n) for n in table.counts("A").sum(axis=1)]
    assert list(rows).index("Candles") < list(rows).index("Shelf")
    assert rows["ratio"][1] == "1.0"


def test_a_generated_table_says_how():
    text = format_table(table_for("PACS", "Duality", parameters={"c": 2.5, "seed": 9}), ["A"])
    assert (
        "Generated with validation 15, q 0.2, lower 1, c 2.5, middle_range [40, 50], seed 9" in text
    )


def test_what_made_a_table_may_have_been_edited_by_hand():
    table = table_for("PACS", "Cross", parameters={"c": 2.5})
    table.provenance["parameters"] = None
    assert format_table(table, ["A"]).startswith("PACS Cross\nGenerated with")
