"""bfloat16 networks, with parameters and losses in full precision."""

from __future__ import annotations

import json
import math

import pytest
import torch

from ndcl_domainbed.training.arguments import TrainArguments
from ndcl_domainbed.training.loop import train
from tests.command_line import call


def _run(folder, **more):
    train(
        TrainArguments(
            dataset="Debug28", steps=4, checkpoint_freq=3, output_dir=str(folder),
            hparams='{"backbone": "small_cnn", "batch_size": 8}', **more,
        )
    )  # fmt: skip
    lines = (folder / "results.jsonl").read_text().splitlines()
    model = torch.load(folder / "model.pkl", weights_only=True)["model_dict"]
    return [json.loads(line) for line in lines], model


@pytest.mark.parametrize("algorithm", ["ERM", "NDCL", "MLDG", "SagNet"])
def test_bf16_trains_close_to_fp32_and_keeps_the_parameters(algorithm, tmp_path):
    full, full_model = _run(tmp_path / "fp32", algorithm=algorithm)
    half, half_model = _run(tmp_path / "bf16", algorithm=algorithm, precision="bf16")
    assert half_model.keys() == full_model.keys()
    assert all(half_model[name].dtype == full_model[name].dtype for name in full_model)
    names = [name for name in full[0] if "loss" in name]
    assert names
    for name in names:
        assert math.isfinite(half[-1][name])
        assert half[0][name] == pytest.approx(full[0][name], rel=0.05, abs=0.02)
    assert any(half[0][name] != full[0][name] for name in names)


def test_another_precision_is_refused(tmp_path):
    outcome = call("train", "--dataset", "Debug28", "--precision", "fp16", "--output_dir", tmp_path)
    assert outcome.status == 2
    assert "fp16" in outcome.err
