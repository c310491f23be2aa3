"""TensorBoard shows the numbers of the records, each step once."""

from __future__ import annotations

import json

import pytest

from ndcl_domainbed.training.arguments import TrainArguments
from ndcl_domainbed.training.loop import train
from ndcl_domainbed.training.scalar_logs import SCALARS_FOLDER, TensorBoardLog

accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def _scalars(folder, tag):
    events = accumulators.EventAccumulator(str(folder))
    events.Reload()
    return {event.step: event.value for event in events.Scalars(tag)}


def test_a_run_logs_what_it_records(tmp_path):
    train(
        TrainArguments(
            dataset="Debug28", steps=5, checkpoint_freq=2, log="tensorboard",
            output_dir=str(tmp_path), hparams='{"backbone": "small_cnn", "batch_size": 4}',
        )
    )  # fmt: skip
    records = [json.loads(x) for x in (tmp_path / "results.jsonl").read_text().splitlines()]
    for tag, name in (("training/loss", "loss"), ("accuracy/env0_in", "env0_in_acc")):
        logged = _scalars(tmp_path / SCALARS_FOLDER, tag)
        assert logged == pytest.approx({r["step"]: r[name] for r in records}, rel=1e-6)


def test_a_run_that_goes_on_replaces_what_it_logs_again(tmp_path):
    first = TensorBoardLog(tmp_path, 0)
    for step in (0, 10, 20):
        first.add({"step": step, "loss": 1.0})
    first.close()
    again = TensorBoardLog(tmp_path, 11)
    again.add({"step": 20, "loss": 2.0})
    again.close()
    assert _scalars(tmp_path, "training/loss") == {0: 1.0, 10: 1.0, 20: 2.0}
