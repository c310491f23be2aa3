"""Every algorithm trains on the real images of DigitsDG under an imbalanced setting."""

from __future__ import annotations

import json
import math

import pytest

from ndcl_domainbed.registry import algorithm_names
from ndcl_domainbed.training.arguments import TrainArguments
from ndcl_domainbed.training.loop import train

STEPS = 30


@pytest.mark.parametrize("algorithm", algorithm_names())
def test_thirty_steps_stay_finite(algorithm, digits_root, tmp_path):
    train(
        TrainArguments(
            data_dir=str(digits_root), dataset="DigitsDG", algorithm=algorithm, imbalance="Duality",
            test_envs=[2], steps=STEPS, checkpoint_freq=STEPS, output_dir=str(tmp_path),
            hparams='{"batch_size": 8}', skip_model_save=True,
        )
    )  # fmt: skip
    first, last = map(json.loads, (tmp_path / "results.jsonl").read_text().splitlines())
    assert (first["step"], last["step"]) == (0, STEPS - 1)
    named = [name for name in last if "loss" in name or "penalty" in name]
    assert named
    assert all(math.isfinite(last[name]) for name in named)
    assert 0 <= last["env2_in_acc"] <= 1
    assert last["env0_val_acc"] is not None
