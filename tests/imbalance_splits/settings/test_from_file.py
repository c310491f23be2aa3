import json

import pytest

from imbalance_splits.errors import InputError
from imbalance_splits.make_table import table_for
from imbalance_splits.table import Thresholds

COUNTS = {"a": {"x": 50, "y": 60}, "b": {"x": 70, "y": 80}}
TRAIN = {"a": {"b": {"x": 30, "y": 4}}, "b": {"a": {"x": 20, "y": 0}}}


def write(path, data):
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return str(path)


def test_a_json_table_with_everything(tmp_path):
    data = {
        "dataset": "Mine",
        "setting": "Steep",
        "thresholds": {"a": {"many": 20, "few": 5}, "b": {"many": 2.5, "few": 1}},
        "validation_per_class": {"a": 3, "b": 4},
        "train_counts": TRAIN,
        "made_by": "me",
    }
    table = table_for("own", write(tmp_path / "t.json", data), COUNTS)
    assert (table.dataset, table.setting) == ("Mine", "Steep")
    assert table.domains == ("a", "b")
    assert table.classes == ("x", "y")
    assert table.train_counts == TRAIN
    assert table.thresholds == {"a": Thresholds(20, 5), "b": Thresholds(2.5, 1)}
    assert table.validation_per_class == {"a": 3, "b": 4}
    assert table.provenance == {"made_by": "me"}


def test_defaults_of_a_bare_table(tmp_path):
    table = table_for("own", write(tmp_path / "bare.json", {"train_counts": TRAIN}))
    assert (table.dataset, table.setting) == ("own", "bare")
    assert table.validation_per_class == {"a": 5, "b": 5}
    assert table.thresholds["a"] == Thresholds(many=17, few=17)


def test_a_csv_says_the_same_as_json(tmp_path):
    lines = ["target,source,class,count"]
    lines += [
        f"{t},{s},{k},{n}" for t, r in TRAIN.items() for s, c in r.items() for k, n in c.items()
    ]
    from_csv = table_for("own", write(tmp_path / "t.csv", "\ufeff" + "\r\n".join(lines)))
    assert from_csv == table_for("own", write(tmp_path / "t.json", {"train_counts": TRAIN}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1: not JSON"),
        ("[]", "expected a JSON object"),
        ("{}", "no 'train_counts'"),
        ('{"train_counts": {}}', "it has no target domain"),
        ('{"train_counts": {"a": {}}}', "target a: it has no source domain"),
        ('{"train_counts": {"a": 3}}', "target a: expected source -> class -> count"),
        ('{"train_counts": {"a": {"b": 3}}}', "source b: expected class -> count"),
        ('{"train_counts": {"a": {"a": {"x": 3}}}}', "the target is among its own sources"),
        ('{"train_counts": {"a": {"b": {"x": -3}}}}', "class x: count -3; give a whole"),
        ('{"train_counts": {"a": {"b": {"x": 1.5}}}}', "class x: count 1.5; give a whole"),
        ('{"train_counts": {"a": {"b": {"x": true}}}}', "class x: count True; give a whole"),
        ('{"train_counts": {"a": {"b": {"x": 100000000000000000000}}}}', "count 10*; give a whole"),
        ('{"train_counts": {"a": {"b": {"x": 1, "x": 2}}}}', "'x' occurs twice"),
        ('{"train_counts": {"a": {"b": {"x": 1}, "c": {"y": 1}}}}', "Missing: x; extra: y"),
        (
            '{"train_counts": {"a": {"b": {"x": 1}}}, "thresholds": {"many": 3, "few": 1}}',
            "'thresholds' need many and few for every target",
        ),
        (
            '{"train_counts": {"a": {"b": {"x": 1}}}, "thresholds": {"a": {"many": -1, "few": 1}}}',
            "thresholds need two numbers",
        ),
        (
            '{"train_counts": {"a": {"b": {"x": 1}}}, "validation_per_class": 5}',
            "'validation_per_class' needs every target",
        ),
        (
            '{"train_counts": {"a": {"b": {"x": 1}}}, "validation_per_class": {"a": -1}}',
            "validation_per_class is -1",
        ),
    ],
)
def test_json_that_is_no_table(tmp_path, text, message):
    path = write(tmp_path / "bad.json", text)
    with pytest.raises(InputError, match=message) as caught:
        table_for("own", path)
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: missing columns: target, source, class, count"),
        ("target,source,class\n", "missing columns: count; unknown columns: -"),
        ("target,source,class,count,seed\n", "unknown columns: seed"),
        ("target,source,class,count\na,b,x,many\n", "line 2: count 'many'"),
        ("target,source,class,count\na,b,x\n", "line 2: count None"),
        ("target,source,class,count\na,b,x,1\na,b,x,2\n", r"line 3: \(a, b, x\) occurs twice"),
        ("target,source,class,count\n", "it has no target domain"),
        (
            'target,source,class,count\na,c,x,1\na,"b,x,1\n' + "a,b,x,1\n" * 20_000,
            "line 3: not CSV .* Look for a quotation mark",
        ),
        ('"target,source,class,count\n' + "a,b,x,1\n" * 20_000, "line 1: not CSV"),
    ],
)
def test_csv_that_is_no_table(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        table_for("own", write(tmp_path / "bad.csv", text))


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"a": {"z": {"x": 1, "y": 1}}}, "the dataset has no domain 'z'; it has: a, b"),
        (
            {"a": {"b": {"x": 1, "w": 1}}},
            "source b, class w: the dataset has no such class",
        ),
        ({"a": {"b": {"x": 71, "y": 1}}}, "class x: 71 training and 5 validation images asked"),
        (
            {"a": {"b": {"x": 66, "y": 1}}},
            "66 training and 5 .* asked for, but it has 70",
        ),
    ],
)
def test_a_table_that_does_not_fit_the_dataset(tmp_path, train, message):
    path = write(tmp_path / "t.json", {"train_counts": train})
    with pytest.raises(InputError, match=message):
        table_for("own", path, COUNTS)


def test_a_table_may_ask_for_all_that_there_is(tmp_path):
    row = {"x": 65, "y": 75, "z": 0}  # with 5 for validation; of z there is nothing to ask for
    path = write(tmp_path / "t.json", {"train_counts": {"a": {"b": row}}})
    counts = {domain: {**have, "z": 0} for domain, have in COUNTS.items()}
    assert table_for("own", path, counts).train_counts["a"]["b"] == row


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        table_for("own", str(tmp_path / "none.json"))
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not text in UTF-8"):
        table_for("own", str(tmp_path / "b.csv"))


def test_a_file_takes_no_parameters(tmp_path):
    path = write(tmp_path / "t.json", {"train_counts": TRAIN})
    with pytest.raises(InputError, match="takes no parameters"):
        table_for("own", path, parameters={"c": 3})
