"""A log gets the numbers of every record, each once."""

import sys

import pytest

from tests.command_line import call
from tests.training.runs import lasting, records
from tests.training.stops import stop_at

FLAGS = (
    "train", "--dataset", "Debug28", "--algorithm", "CORAL", "--steps", 8, "--checkpoint_freq", 3,
    "--hparams", '{"backbone": "small_cnn", "batch_size": 4}', "--log", "tensorboard",
)  # fmt: skip


def _logged(folder):
    """Return what TensorBoard shows: by tag the (step, value) pairs."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def _expected(folder, name):
    return [(r["step"], pytest.approx(r[name], rel=1e-6)) for r in records(folder)]


def test_losses_and_accuracies_are_logged_and_nothing_else_changes(tmp_path):
    pytest.importorskip("tensorboard")
    assert call(*FLAGS, "--output_dir", tmp_path / "logged").status == 0
    logged = _logged(tmp_path / "logged")
    assert logged["training/loss"] == _expected(tmp_path / "logged", "loss")
    assert logged["training/penalty"] == _expected(tmp_path / "logged", "penalty")
    assert logged["accuracy/env0_in"] == _expected(tmp_path / "logged", "env0_in_acc")
    assert not {"training/step", "training/args"} & logged.keys()
    assert call(*FLAGS[:-2], "--output_dir", tmp_path / "plain").status == 0
    without = lasting(tmp_path / "logged")
    for record in without:
        record["args"]["log"] = None
    assert without == lasting(tmp_path / "plain")


def test_a_run_that_goes_on_logs_no_step_twice(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    stop_at(4, patch=monkeypatch.setattr)
    assert call(*FLAGS, "--output_dir", tmp_path).status == 143
    # As if the kill had come between the record of step 3 and the saving of its progress.
    resume = (tmp_path / "resume.pt").read_bytes()
    assert call(*FLAGS, "--output_dir", tmp_path, "--keep_resume").status == 0
    (tmp_path / "resume.pt").write_bytes(resume)
    (tmp_path / "done").unlink()
    assert call(*FLAGS, "--output_dir", tmp_path).status == 0
    logged = _logged(tmp_path)
    assert logged["accuracy/env0_in"] == _expected(tmp_path, "env0_in_acc")
    assert [step for step, _ in logged["training/loss"]] == [0, 3, 6, 7]
    assert call(*FLAGS, "--output_dir", tmp_path, "--no_resume").status == 0
    assert [step for step, _ in _logged(tmp_path)["training/loss"]] == [0, 3, 6, 7]


def test_weights_and_biases_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    assert call(*FLAGS[:-1], "wandb", "--output_dir", tmp_path / "logged").status == 0
    (path,) = (tmp_path / "logged" / "wandb").glob("offline-run-*/*.wandb")
    content = path.read_bytes()
    assert b"training/loss" in content and b"accuracy/env0_in" in content
    for record in records(tmp_path / "logged"):
        assert repr(record["loss"])[:10].encode() in content


@pytest.mark.parametrize(
    ("log", "module", "name"),
    [
        ("wandb", "wandb", "Weights & Biases"),
        ("tensorboard", "torch.utils.tensorboard", "TensorBoard"),
    ],
)  # fmt: skip
def test_a_log_that_is_not_installed_says_how_to_get_it(tmp_path, monkeypatch, log, module, name):
    monkeypatch.setitem(sys.modules, module, None)
    outcome = call(*FLAGS[:-1], log, "--output_dir", tmp_path)
    assert outcome.status == 2
    said = f"--log {log} needs {name}: pip install 'ndcl-domainbed[{log}]'"
    assert outcome.err == f"error: {said}\n"
    assert not records(tmp_path)
