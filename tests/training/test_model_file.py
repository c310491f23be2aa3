"""What a run saves is plain enough for a safe loader, whatever hyper-parameters were drawn."""

from __future__ import annotations

import pytest
import torch

from imbalance_splits.seeds import seed_hash
from imbalance_splits.splitting import holdout_split
from ndcl_domainbed import load_model, registry
from ndcl_domainbed.backend import get_dataset_class
from ndcl_domainbed.training.arguments import TrainArguments
from ndcl_domainbed.training.loop import train
from tests.training.runs import records


@pytest.mark.parametrize("algorithm", registry.algorithm_names())
def test_files_of_a_random_draw_load_safely(algorithm, tmp_path):
    arguments = TrainArguments(
        dataset="Debug28", algorithm=algorithm, hparams_seed=3, steps=1, keep_resume=True,
        hparams='{"batch_size": 4, "backbone": "small_cnn"}', output_dir=str(tmp_path),
    )  # fmt: skip
    train(arguments)
    model = torch.load(tmp_path / "model.pkl", weights_only=True)
    drawn = registry.run_hparams(algorithm, "Debug28", 3, 0, arguments.hparam_overrides())
    assert drawn != registry.run_hparams(algorithm, "Debug28", 0, 0, arguments.hparam_overrides())
    assert model["model_hparams"] == drawn == records(tmp_path)[0]["hparams"]
    assert all(type(value) in (bool, int, float, str) for value in model["model_hparams"].values())
    assert torch.load(tmp_path / "resume.pt", weights_only=True)["step"] == 0
    assert model["model_classes"] == ["0", "1"]
    assert model["model_preprocessing"] is None  # noise is no image
    loaded = load_model(tmp_path, "cpu")
    x, y = get_dataset_class("Debug28")("", [0], {})[0].tensors
    inside, outside = holdout_split(len(y), 0.2, seed_hash(0, 0))
    for split, indices in (("in", inside), ("out", outside)):
        right = (loaded.predict(x[indices]).labels == y[indices]).float().mean().item()
        assert right == pytest.approx(records(tmp_path)[0][f"env0_{split}_acc"])
