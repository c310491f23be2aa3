"""Runs with --diagnostics: the same numbers as without, and the same file after any stop.

``tests/training/test_resume.py`` kills such a run at each change of a file.
"""

import json
import signal

import pytest

from ndcl_domainbed.diagnostics.callback import DiagnosticsCallback
from ndcl_domainbed.training import preparation
from ndcl_domainbed.training.arguments import TrainArguments
from ndcl_domainbed.training.run import train
from tests.command_line import call
from tests.training.runs import assert_same_run

SMALL = '{"backbone": "small_cnn", "batch_size": 6, "resnet_dropout": 0.1}'


def train_debug(folder, *flags, algorithm="NDCL"):
    return call(
        "train", "--dataset", "Debug28", "--algorithm", algorithm, "--steps", 9,
        "--checkpoint_freq", 4, "--hparams", SMALL, "--output_dir", folder, *flags,
    )  # fmt: skip


@pytest.mark.parametrize(("algorithm", "flags"), [("CORAL", ()), ("NDCL", ("--precision", "bf16"))])
def test_it_changes_nothing_in_the_run(algorithm, flags, tmp_path):
    for name, watching in (("plain", []), ("watched", ["--diagnostics"])):
        found = train_debug(tmp_path / name, *flags, *watching, algorithm=algorithm)
        assert found.status == 0, found.err
        assert found.err == ""
    assert not (tmp_path / "plain" / "diagnostics.jsonl").exists()
    lines = (tmp_path / "watched" / "diagnostics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 4, 8]
    assert [json.loads(line)["updates"] for line in lines] == [1, 2, 2]
    for path in (tmp_path / "plain", tmp_path / "watched"):
        text = (path / "results.jsonl").read_text()
        text = text.replace('"diagnostics": true', '"diagnostics": false')
        (path / "results.jsonl").write_text(text)
    assert_same_run(tmp_path / "plain", tmp_path / "watched")


def test_a_stop_between_records_keeps_what_was_added_up(tmp_path, monkeypatch):
    arguments = {
        "dataset": "Debug28", "algorithm": "NDCL", "steps": 24, "checkpoint_freq": 23,
        "hparams": SMALL, "diagnostics": True,
    }  # fmt: skip
    train(TrainArguments(**arguments, output_dir=str(tmp_path / "alone")))
    around_update, made = DiagnosticsCallback.around_update, []

    def update_and_stop(callback, step, minibatches):
        made.append(1)
        if len(made) in (5, 17):
            signal.raise_signal(signal.SIGTERM)
        return around_update(callback, step, minibatches)

    monkeypatch.setattr(DiagnosticsCallback, "around_update", update_and_stop)
    for _ in range(2):
        with pytest.raises(SystemExit):
            train(TrainArguments(**arguments, output_dir=str(tmp_path / "stopped")))
    train(TrainArguments(**arguments, output_dir=str(tmp_path / "stopped")))
    lines = [(tmp_path / name / "diagnostics.jsonl").read_text() for name in ("alone", "stopped")]
    assert lines[0] == lines[1]


def test_the_command_refuses_what_it_cannot_watch(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:  # it is known before the data are read
        patched.delattr(preparation, "split_dataset")
        refused = train_debug(tmp_path / "mixup", "--diagnostics", algorithm="Mixup")
    assert refused.status == 2
    assert "cannot watch Mixup" in refused.err
    assert "Traceback" not in refused.err
    both = train_debug(tmp_path / "both", "--diagnostics", "--compile")
    assert both.status == 2
    assert "--compile" in both.err
    assert train_debug(tmp_path / "run").status == 0
    assert train_debug(tmp_path / "run", "--diagnostics", "--no_resume").status == 0
    assert train_debug(tmp_path / "run", "--no_resume").status == 0
    assert not (tmp_path / "run" / "diagnostics.jsonl").exists()
