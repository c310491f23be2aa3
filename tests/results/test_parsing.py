import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndcl_domainbed.results.details import class_accuracies
from ndcl_domainbed.results.identity import identity
from ndcl_domainbed.results.parsing import MANNER, parse
from ndcl_domainbed.training.arguments import Role, argument_names
from tests.results.builder import record

RECORD = record(3, {"0_in": 0.25, "0_out": 0.5, "1_in": 1.0, "1_out": 0.75}, test_envs=[0])


def line(made) -> bytes:
    return json.dumps(made, sort_keys=True).encode() + b"\n"


def values(run) -> dict[str, list[float]]:
    return {name: column.tolist() for name, column in run.columns.items()}


def test_numbers_of_a_record_come_out_unchanged():
    (run,) = parse(line(RECORD)).runs
    columns = values(run)
    assert columns["env0_in_acc"] == [0.25]
    assert columns["env1_out_acc"] == [0.75]
    assert columns["step"] == [3.0]
    assert run.meta["args"]["dataset"] == "PACS"
    assert run.meta["hparams"] == {"lr": 0.001}


def test_a_run_that_was_resumed_in_another_manner_is_one_run():
    first, second = (
        record(step, {"0_in": 0.5, "0_out": 0.5}, test_envs=[0], num_workers=workers)
        for step, workers in ((0, None), (10, 2))
    )
    (run,) = parse(line(first) + line(second)).runs
    assert values(run)["step"] == [0.0, 10.0]
    second["args"]["seed"] = 1
    assert len(parse(line(first) + line(second)).runs) == 2
    assert set(argument_names(Role.MANNER, Role.PLACE)) == MANNER


def test_what_a_record_says_of_its_network_is_kept():
    network = {"backbone": "resnet18", "digest": "sha256:ab"}
    assert parse(line({**RECORD, "network": network})).runs[0].meta["network"] == network
    for other in (RECORD, {**RECORD, "network": "mine"}):
        assert parse(line(other)).runs[0].meta["network"] == {}


def test_torn_corrupt_and_foreign_lines_are_counted_and_passed_over():
    good = line(RECORD)
    data = good + b"\x00\xff garbage\n" + b'{"other": "json"}\n' + b"[1]\n\n" + good + good[:90]
    parsed = parse(data)
    assert parsed.bad_lines == 4
    assert [run.n_records for run in parsed.runs] == [2]


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(0, 10_000))
def test_a_file_cut_anywhere_gives_its_whole_lines(cut):
    data = b"".join(line({**RECORD, "step": step}) for step in range(4))
    cut %= len(data) + 1
    parsed = parse(data[:cut])
    rows = sum(run.n_records for run in parsed.runs)
    whole = data[:cut].count(b"\n")
    torn = data[:cut].rpartition(b"\n")[2]
    complete = bool(torn) and data[cut : cut + 1] == b"\n"  # only the line's end is missing
    assert rows == whole + complete
    assert parsed.bad_lines == (1 if torn and not complete else 0)


def test_nan_and_infinity_as_python_writes_them_do_not_lose_the_record():
    made = {**RECORD, "loss": float("nan"), "env1_in_acc": float("nan"), "mem_gb": float("inf")}
    (run,) = parse(line(made)).runs
    columns = values(run)
    assert np.isnan(columns["env1_in_acc"][0])
    assert columns["env0_in_acc"] == [0.25]
    assert columns["mem_gb"] == [float("inf")]


def test_null_accuracy_is_missing():
    (run,) = parse(line({**RECORD, "env1_in_acc": None})).runs
    assert np.isnan(values(run)["env1_in_acc"][0])


@pytest.mark.parametrize("name", ["unlabeled_fraction", "eval_images"])
def test_an_argument_of_the_wrong_type_spoils_only_its_own_line(name):
    other = {**RECORD, "args": {**RECORD["args"], name: "0.5"}}
    parsed = parse(line(RECORD) + line(other) + line(RECORD))
    assert parsed.bad_lines == 1


def test_a_variant_without_figures_is_left_out():
    (run,) = parse(line({**RECORD, "variants": {"ema": None, "swad": [1]}})).runs
    assert values(run)["env0_in_acc"] == [0.25]


def test_a_text_where_a_number_belongs_spoils_only_its_own_line():
    parsed = parse(line(RECORD) + line({**RECORD, "env0_in_acc": ["x"]}) + line(RECORD))
    assert parsed.bad_lines == 1
    assert parsed.runs[0].n_records == 2


def test_two_runs_that_shared_a_folder_stay_apart():
    other = {**RECORD, "args": {**RECORD["args"], "algorithm": "NDCL"}}
    parsed = parse(line(RECORD) + line(RECORD) + line(other))
    assert [run.meta["args"]["algorithm"] for run in parsed.runs] == ["ERM", "NDCL"]
    assert [run.n_records for run in parsed.runs] == [2, 1]


def test_records_of_one_run_with_different_keys_are_one_table():
    more = {**RECORD, "env0_uda_acc": 0.1}
    (run,) = parse(line(RECORD) + line(more)).runs
    columns = values(run)
    assert np.isnan(columns["env0_uda_acc"][0])
    assert columns["env0_uda_acc"][1] == 0.1
    assert columns["env0_in_acc"] == [0.25, 0.25]


def test_shot_groups_and_class_accuracies_are_those_of_the_target():
    made = {
        **RECORD,
        "env0_in_0many": 0.9,
        "env0_in_1median": 0.6,
        "env0_in_2few": 0.3,
        "env0_in_3zero": None,
        "env1_in_0many": 0.1,
        "class_acc": {"env0_in": [0.5, None, 0.2, 0.8], "env0_out": [0.0], "env1_in": [0.1]},
    }
    (run,) = parse(line(made)).runs
    columns = values(run)
    assert (columns["many"], columns["medium"], columns["few"]) == ([0.9], [0.6], [0.3])
    assert np.isnan(columns["zero"][0])
    assert columns["balanced"][0] == (0.5 + 0.2 + 0.8) / 3
    assert columns["worst"] == [0.2]


def test_class_accuracies_with_nan_or_no_spaces_are_read():
    made = {**RECORD, "class_acc": {"env0_in": [0.5, float("nan"), 0.25]}}
    text = json.dumps(made, sort_keys=True, separators=(",", ":")).encode()
    (run,) = parse(text + b"\n" + line(made)).runs
    assert values(run)["worst"] == [0.25, 0.25]


def test_class_accuracies_are_those_of_the_step_of_the_run(tmp_path):
    first = {**RECORD, "step": 0, "class_acc": {"env0_in": [0.5, None]}}
    spoiled = {**first, "step": 2, "env0_in_acc": ["x"]}
    last = {**first, "step": 4, "class_acc": {"env0_in": [0.25, 1]}}
    (tmp_path / "results.jsonl").write_bytes(
        line(first) + line(spoiled) + line(last) + line(RECORD)
    )
    assert class_accuracies(str(tmp_path), 0, [0]) == [0.5, None]
    assert class_accuracies(str(tmp_path), 4, [0]) == [0.25, 1]
    for step, target in ((2, 0), (3, 0), (4, 1)):
        assert class_accuracies(str(tmp_path), step, [target]) is None
    assert class_accuracies(str(tmp_path / "missing"), 0, [0]) is None


def test_a_line_torn_within_the_class_accuracies_is_counted():
    text = line({**RECORD, "class_acc": {"env0_in": [0.5, 0.25]}})
    assert parse(text[: text.index(b"0.25") + 2]).bad_lines == 1


def test_measures_of_several_test_domains_are_means_over_those_that_have_them():
    made = {
        **RECORD,
        "args": {**RECORD["args"], "test_envs": [0, 1]},
        "env0_in_0many": 0.5, "env1_in_0many": 0.7, "env0_in_2few": None, "env1_in_2few": 0.1,
        "class_acc": {"env0_in": [0.2, 0.4], "env1_in": [0.6, None]},
    }  # fmt: skip
    (run,) = parse(line(made), details=True).runs
    columns = {name: values for name, (values,) in run.columns.items()}
    assert columns["many"] == pytest.approx(0.6)
    assert columns["few"] == pytest.approx(0.1)
    assert columns["worst"] == pytest.approx(0.4)
    assert [columns[f"class_acc.{number}"] for number in (0, 1)] == pytest.approx([0.4, 0.4])


@pytest.mark.parametrize("value", [float("nan"), 97.5, -0.1])
@pytest.mark.parametrize("key", ["env1_out_acc", "env0_in_2few", "class_acc"])
def test_an_impossible_accuracy_is_counted_and_missing(key, value):
    bad = {**RECORD, key: {"env0_in": [value, value]} if key == "class_acc" else value}
    good = {**RECORD, "mem_gb": float("nan"), "env1_out_acc": None}
    (run,) = parse(line(good) + line(bad) + line(bad)).runs
    if key == "class_acc" and value != value:  # a class without an image
        assert run.bad_records == 0
        return
    assert run.bad_records == 2
    name = {"env0_in_2few": "few", "class_acc": "worst"}.get(key, key)
    assert np.isnan(values(run)[name][-1])


def test_details_are_losses_and_accuracies_by_class():
    made = {**RECORD, "penalty": 0.5, "note": "text", "class_acc": {"env0_in": [0.5, None]}}
    (run,) = parse(line(made), details=True).runs
    columns = values(run)
    assert (columns["loss"], columns["penalty"]) == ([1.0], [0.5])
    assert columns["class_acc.0"] == [0.5]
    assert np.isnan(columns["class_acc.1"][0])
    assert not {"loss", "penalty", "class_acc.0"} & set(parse(line(made)).runs[0].columns)


def test_a_folder_of_ones_own_may_be_named_like_a_setting():
    """Runs of this package have the argument ``imbalance``, here None; DomainBed's have none."""
    made = {**RECORD, "args": {**RECORD["args"], "dataset": "photos_Cross", "imbalance": None}}
    columns = values(parse(line(made)).runs[0])
    assert columns["env1_out_acc"] == [0.75]
    found = identity(made["args"])
    assert (found.dataset, found.setting) == ("photos_Cross", "none")


def test_the_balanced_split_of_attached_scripts_has_the_name_that_ours_has():
    made = {**RECORD, "args": {**RECORD["args"], "dataset": "PACS_Cross"}}
    columns = values(parse(line(made)).runs[0])
    assert columns["env1_val_acc"] == [0.75]
    assert columns["env0_out_acc"] == [0.5]  # of the target, it is what it is in our runs
    assert "env1_out_acc" not in columns
