"""Trying out: few images are evaluated, the record says so, and no silence lasts long."""

import json
import re

import pytest

from ndcl_domainbed import progress
from tests.command_line import call
from tests.image_folders import write_images
from tests.training.runs import records


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "photos"
    return write_images(folder, ["ink", "oil", "pen"], ["cup", "hat"], 40)


def _train(images, output, *more):
    return call(
        "train", "--dataset", images, "--output_dir", output, "--steps", 3,
        "--hparams", '{"backbone": "small_cnn", "batch_size": 4}', *more,
    )  # fmt: skip


def test_a_limited_evaluation_sees_so_many_images_once_and_the_record_says_so(images, tmp_path):
    limited = ("--eval_images", 10, "--imbalance", "TotalHeavyTail")
    assert _train(images, tmp_path / "run", *limited).status == 0
    (record,) = records(tmp_path / "run")
    assert (record["step"], record["args"]["eval_images"]) == (2, 10)
    names = [name for name in record if re.fullmatch(r"env.*_acc", name)]
    assert {"env0_in_acc", "env1_val_acc", "env2_out_acc"} <= set(names)
    assert all(record[name] * 10 == pytest.approx(round(record[name] * 10)) for name in names)
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    whole = min(sum(counts) for counts in split["train_counts"].values())
    assert record["epoch"] == pytest.approx(2 * 4 / whole)


def test_a_limit_above_the_size_of_a_split_changes_no_accuracy(images, tmp_path):
    assert _train(images, tmp_path / "whole").status == 0
    assert _train(images, tmp_path / "limited", "--eval_images", 10**6).status == 0
    whole, limited = records(tmp_path / "whole")[-1], records(tmp_path / "limited")[-1]
    assert {name for name in whole if whole[name] != limited[name]} <= {
        "args", "loss", "step_time", "mem_gb",  # the loss is averaged since the last record
    }  # fmt: skip


def test_a_run_of_a_single_step_is_evaluated_after_it(images, tmp_path):
    assert _train(images, tmp_path, "--eval_images", 5, "--steps", 1).status == 0
    assert [record["step"] for record in records(tmp_path)] == [0]


class _SlowClock:
    """Four seconds pass from one look at it to the next."""

    now = 0.0

    def __call__(self):
        self.now += 4.0
        return self.now


def test_ten_seconds_of_silence_are_broken(images, tmp_path, monkeypatch):
    monkeypatch.setattr(progress.time, "monotonic", _SlowClock())
    outcome = _train(images, tmp_path, "--steps", 40, "--checkpoint_freq", 39)
    assert outcome.status == 0, outcome.err
    assert "ERM on " in outcome.out
    assert ", evaluation: " in outcome.out and " of 240 images (" in outcome.out
    assert " of 40 steps (" in outcome.out and " to go" in outcome.out
    assert [record["step"] for record in records(tmp_path)] == [0, 39]


def test_a_line_comes_ten_seconds_after_the_last_and_then_ever_later(monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    line = progress.ProgressLine("Work", growth=2.0)
    printed = []
    for second in range(1, 101):
        clock[0] = float(second)
        if second == 80:
            line.note_output()
        line(second, 200)
        if said := capsys.readouterr().out:
            printed.append(second)
            assert said.startswith(f"Work: {second} of 200 images (1/s), 0:0")
    assert printed == [10, 30, 70, 90]
