"""A battery that every generated setting passes, on label counts of any kind."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imbalance_splits.errors import InputError
from imbalance_splits.make_table import table_for
from imbalance_splits.settings import (
    build_setting,
    get_setting,
    parameter_names,
    parse_setting,
    setting_names,
)
from imbalance_splits.settings.base import GeneratedSetting
from imbalance_splits.table import SplitTable

GENERATED = [name for name in setting_names() if issubclass(get_setting(name), GeneratedSetting)]


@st.composite
def counted(draw):
    """Label counts of 3 to 6 domains and 1 to 8 classes, 10 to 900 images each."""
    domains = draw(st.integers(3, 6))
    classes = draw(st.integers(1, 8))
    sizes = st.lists(st.integers(10, 900), min_size=classes, max_size=classes)
    return {f"d{i}": {f"class {k}": n for k, n in enumerate(draw(sizes))} for i in range(domains)}


def test_the_settings_there_are():
    assert setting_names() == [
        "Balanced",
        "Cross",
        "Duality",
        "Exponential",
        "GINIDG",
        "TotalHeavyTail",
    ]
    assert GENERATED == ["Balanced", "Cross", "Duality", "Exponential", "TotalHeavyTail"]


@pytest.mark.parametrize("name", GENERATED)
@given(counts=counted(), validation=st.integers(0, 8), q=st.sampled_from([0.0, 0.2, 0.5]))
@settings(deadline=None, derandomize=True, max_examples=25)
def test_counts_leave_validation_and_test_images(name, counts, validation, q):
    table = build_setting(name, {"validation": validation, "q": q}).table("own", counts)
    assert set(table.train_counts) == set(counts)
    for target, rows in table.train_counts.items():
        assert list(rows) == [domain for domain in counts if domain != target]
        for source, row in rows.items():
            for label, count in row.items():
                assert 1 <= count <= counts[source][label] - validation


@pytest.mark.parametrize("name", GENERATED)
@given(counts=counted(), data=st.data())
@settings(deadline=None, derandomize=True, max_examples=20)
def test_classes_that_a_domain_lacks_get_none_and_the_others_some(name, counts, data):
    classes = list(counts["d0"])
    for row in counts.values():
        for label in data.draw(st.sets(st.sampled_from(classes), max_size=len(classes) - 1)):
            row[label] = 0
    left_out = {d: {k: n for k, n in row.items() if n} for d, row in counts.items()}
    table = build_setting(name, {"validation": 2}).table("own", counts)
    for rows in table.train_counts.values():
        for source, row in rows.items():
            for label, count in row.items():
                available = counts[source][label]
                assert 1 <= count <= available - 2 if available else count == 0
    if {k for row in left_out.values() for k in row} == set(classes):
        again = build_setting(name, {"validation": 2}).table("own", left_out)
        assert cells(again) == cells(table)


def cells(table):
    return {
        (target, source, label): n
        for target, rows in table.train_counts.items()
        for source, row in rows.items()
        for label, n in row.items()
    }


@pytest.mark.parametrize("name", GENERATED)
@given(counts=counted())
@settings(deadline=None, derandomize=True, max_examples=10)
def test_the_table_survives_json_and_says_what_made_it(name, counts):
    table = build_setting(name, {}).table("own", counts)
    data = json.loads(json.dumps(table.to_json()))
    assert SplitTable.from_json(data, "own.json", tuple(counts)) == table
    made_by = dict(table.provenance)
    parameters = made_by.pop("parameters")
    assert made_by.pop("generator") == "imbalance_splits"
    assert made_by.pop("version") == 1
    seed = {"seed": made_by.pop("seed")} if made_by else {}
    assert not made_by
    assert sorted({**parameters, **seed}) == sorted(parameter_names(name))
    assert build_setting(name, {**parameters, **seed}).table("own", counts) == table


@pytest.mark.parametrize("name", GENERATED)
def test_too_few_images_are_named(name):
    counts = {"a": {"x": 5, "y": 50}, "b": {"x": 50, "y": 3}, "c": {"x": 50, "y": 4}}
    with pytest.raises(InputError) as caught:
        build_setting(name, {"validation": 5}).table("own", counts)
    assert str(caught.value) == (
        f"{name} of own: domain b, class y has 3 images; 5 for validation leave -2, "
        "and more than 1 are needed.\n"
        "Give --validation 1, or leave the class out."
    )
    made = build_setting(name, {"validation": 1}).table("own", counts)
    assert min(made.counts(target).min() for target in counts) >= 1


@pytest.mark.parametrize("name", GENERATED)
def test_label_counts_that_cannot_be_used(name):
    setting = build_setting(name, {})
    row = {"x": 50, "y": 50}
    with pytest.raises(InputError, match="its label counts are not known"):
        setting.table("own", {})
    with pytest.raises(InputError, match=r"1 domains \(a\); it needs at least"):
        setting.table("own", {"a": row})
    with pytest.raises(InputError, match="domain c has no image"):
        setting.table("own", {"a": row, "b": row, "c": {"x": 0}})


@pytest.mark.parametrize("name", ["Cross", "Duality"])
def test_opposed_tails_need_two_sources(name):
    counts = {"a": {"x": 50}, "b": {"x": 50}}
    with pytest.raises(InputError, match="it needs at least 3, the target and 2 others"):
        build_setting(name, {}).table("own", counts)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("Balanced", {"q": 1.0}, r"Balanced: q is 1.0; it must be in \[0, 1\)"),
        ("Balanced", {"lower": -1}, "lower is -1; it must be >= 0"),
        ("Balanced", {"validation": -1}, "validation is -1; it must be >= 0"),
        ("TotalHeavyTail", {"c": 1.0}, "TotalHeavyTail: c is 1.0; it must be > 1"),
        ("TotalHeavyTail", {"c": math.inf}, "c is inf; it must be > 1 and finite"),
        ("Cross", {"middle": 0.0}, "middle is 0.0; it must be > 0"),
        ("Duality", {"middle_range": (5, 4)}, r"middle_range is \(5, 4\)"),
        ("Duality", {"middle_range": (5, 2**63)}, "it must be two whole numbers, 0 < low <= high"),
        ("Duality", {"seed": -1}, "seed is -1"),
        ("Exponential", {"factor": 0.5}, "factor is 0.5; it must be >= 1"),
        ("Cross", {"middle": "half"}, "setting Cross: middle is 'half'; it must be a number"),
        ("Cross", {"validation": 2.5}, "validation is 2.5; it must be a whole number"),
        ("Cross", {"lower": True}, "lower is True; it must be a number"),
        ("Cross", {"lower": math.nan}, "lower is nan; it must be a whole number"),
        ("Duality", {"middle_range": 40}, "middle_range is 40; it takes several numbers"),
        ("Cross", {"midle": 0.3}, "unknown parameter of Cross 'midle'; did you mean 'middle'?"),
        ("GINIDG", {"c": 3.0}, "setting GINIDG takes no parameters, not 'c'"),
        ("FromFile", {}, "needs a path: give the path of a table .* in place of the name"),
    ],
)
def test_parameters_that_cannot_be_used(name, parameters, message):
    with pytest.raises(InputError, match=message):
        build_setting(name, parameters)


def test_an_unknown_setting_names_the_nearest():
    with pytest.raises(
        InputError, match="unknown setting 'Dualty'; did you mean 'Duality'"
    ) as caught:
        get_setting("Dualty")
    assert "FromFile" not in str(caught.value)
    assert str(caught.value).endswith("Or give the path of a table (.json, .csv).")


def test_lower_is_the_least_count():
    counts = {d: {"x": 30, "y": 300, "z": 25 + i} for i, d in enumerate("abcd")}
    for name in GENERATED:
        table = build_setting(name, {"lower": 17, "validation": 5}).table("own", counts)
        assert min(table.counts(target).min() for target in counts) == 17


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("Cross", ("Cross", {})),
        ("Cross:middle=0.5", ("Cross", {"middle": 0.5})),
        ("Duality:middle_range=40,50,c=2", ("Duality", {"middle_range": (40, 50), "c": 2})),
        ("Own: shape=steep, on=true", ("Own", {"shape": "steep", "on": True})),
        ("C:/tables/mine.json", ("C:/tables/mine.json", {})),
    ],
)
def test_parameters_follow_a_name(text, parsed):
    assert parse_setting(text) == parsed


@pytest.mark.parametrize("text", ["Cross:", "Cross:middle", "Cross:middle=", "Cross:=3"])
def test_a_parameter_without_a_value(text):
    with pytest.raises(InputError, match="is no parameter; write Cross:parameter=value"):
        parse_setting(text)


def test_a_table_takes_the_parameters_of_its_setting():
    counts = {d: {"x": 90, "y": 300} for d in "abc"}
    table = table_for("own", "Exponential:factor=5,validation=3", counts)
    assert table == table_for("own", "Exponential", counts, {"factor": 5.0, "validation": 3})
    assert table.provenance["parameters"]["factor"] == 5.0
    varied = table_for("PACS", "Cross:validation=7")
    assert set(varied.validation_per_class.values()) == {7}
    assert varied.provenance["parameters"]["middle"] == 0.3


COUNTS = {domain: {"cat": 40, "dog": 60} for domain in ("A", "B", "C")}


@pytest.mark.parametrize(
    "returned",
    [
        None,
        {"A": {"B": {"cat": 1, "dog": 2}, "C": {"cat": 1, "dog": 2}}},
        {target: {source: {"cat": 1} for source in COUNTS} for target in COUNTS},
    ],
    ids=["nothing", "one target", "one class"],
)
def test_counts_that_lack_something_are_an_error(returned):
    class Mine(GeneratedSetting):
        def train_counts(self, usable):
            return returned

    with pytest.raises(InputError, match="Mine of animals: train_counts must return target -> "):
        Mine().table("animals", COUNTS)
