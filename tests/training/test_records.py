"""results.jsonl: whole lines only, whatever happened to the file."""

import json

import pytest

from ndcl_domainbed.training import records
from tests.training.runs import train_shortly
from tests.training.stops import stop_at


def _write(path, steps):
    for step in steps:
        records.append(path, {"step": step, "b": 1, "a": 0.5})


def test_a_record_is_one_line_with_sorted_keys(tmp_path):
    path = tmp_path / "results.jsonl"
    _write(path, [0, 100])
    assert path.read_text() == '{"a": 0.5, "b": 1, "step": 0}\n{"a": 0.5, "b": 1, "step": 100}\n'


def test_not_a_number_is_refused_and_nothing_is_written(tmp_path):
    path = tmp_path / "results.jsonl"
    _write(path, [0])
    with pytest.raises(ValueError, match="JSON"):
        records.append(path, {"step": 1, "loss": float("nan")})
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [0]


@pytest.mark.parametrize(
    "tail", [b'{"step": 20', b'{"step": 20}', b"\xff\xfe{", b"[]garbage\n", b"\0" * 5]
)
def test_a_torn_tail_is_not_read_and_cut_off_by_a_resume(tmp_path, tail):
    path = tmp_path / "results.jsonl"
    _write(path, [0, 10])
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    if tail[-1:] != b"}":  # else the end of the line alone is missing
        assert [record["step"] for record in records.read(path)] == [0, 10]
    assert path.read_bytes() == whole + tail
    kept = records.truncate_after(path, 100).kept
    assert [record["step"] for record in kept] == [0, 10]
    assert path.read_bytes() == whole


def test_records_after_the_checkpoint_are_dropped(tmp_path):
    path = tmp_path / "results.jsonl"
    _write(path, [0, 10, 20])
    assert [record["step"] for record in records.truncate_after(path, 10).kept] == [0, 10]
    assert len(path.read_text().splitlines()) == 2
    assert records.truncate_after(path, -1).kept == []
    assert path.read_bytes() == b""


def test_a_missing_file_has_no_records(tmp_path):
    assert records.read(tmp_path / "results.jsonl") == []
    assert records.truncate_after(tmp_path / "results.jsonl", 5).kept == []
    assert not (tmp_path / "results.jsonl").exists()


@pytest.mark.parametrize("damage", ["torn", "missing"])
def test_a_run_does_not_resume_without_its_earlier_records(tmp_path, damage):
    flags = ("--steps", 7, "--checkpoint_freq", 2)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(6, patch=patch.setattr)
        assert train_shortly(tmp_path, *flags).status != 0
    path = tmp_path / "results.jsonl"
    first, second, *others = path.read_text().splitlines(keepends=True)
    path.write_text("".join([first, second[:20] + "\n" if damage == "torn" else "", *others]))
    before = path.read_bytes()
    outcome = train_shortly(tmp_path, *flags)
    assert outcome.status == 2
    assert "lacks the record of step 2: restore the file, or start over" in outcome.err
    assert path.read_bytes() == before
    path.write_text("".join([first, second, *others]))
    assert train_shortly(tmp_path, *flags).status == 0
    assert [record["step"] for record in records.read(path)] == [0, 2, 4, 6]


OTHERS = {
    ("--algorithm", "CORAL"): "with --algorithm ERM, not with --algorithm CORAL.",
    ("--steps", 4): "with --steps 2, not with --steps 4.",
    ("--skip_model_save",): "without --skip_model_save, not with --skip_model_save.",
    ("--imbalance", "Duality"): "without --imbalance, not with --imbalance Duality.",
    ("--test_envs", 0, 1): "with --test_envs 0, not with --test_envs 0 1.",
    ("--precision", "bf16"): "with --precision fp32, not with --precision bf16.",
    ("--eval_images", 10): "without --eval_images, not with --eval_images 10.",
    ("--diagnostics",): "without --diagnostics, not with --diagnostics.",
}


def test_another_run_is_refused_by_its_flags_and_the_first_is_kept(tmp_path):
    assert train_shortly(tmp_path).status == 0
    before = (tmp_path / "results.jsonl").read_bytes()
    for flags, said in OTHERS.items():
        outcome = train_shortly(tmp_path, *flags)
        assert outcome.status == 2
        assert f"belongs to a run {said} Use another --output_dir, or start over" in outcome.err
        assert len(outcome.err.splitlines()) == 1
        assert (tmp_path / "results.jsonl").read_bytes() == before
