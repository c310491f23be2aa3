"""Every algorithm that is registered resumes after a stop as if there had been none.

So do the averages of its weights.
"""

import json

import pytest

from imbalance_splits.seeds import seed_hash
from imbalance_splits.splitting import holdout_split
from ndcl_domainbed import load_model, registry
from ndcl_domainbed.backend import get_dataset_class
from ndcl_domainbed.training.arguments import TrainArguments
from ndcl_domainbed.training.run import train
from tests.testbed.algorithms.battery import with_everything_on
from tests.training.runs import assert_same_run, records
from tests.training.stops import stop_at

STEPS = 7
CHECKPOINT_FREQ = 3
SWITCH = 3
"""The update at which penalties are switched on."""

STOPS_AFTER = (1, 4)
"""Steps between checkpoints, before and after the switch."""


def _arguments(algorithm, output_dir, **changes):
    defaults = registry.default_hparams(algorithm, "Debug28")
    changed = with_everything_on(dict(defaults))
    hparams = {name: SWITCH for name in defaults if changed[name] != defaults[name]}
    hparams |= {"backbone": "small_cnn", "batch_size": 6, "resnet_dropout": 0.1, **changes}
    return TrainArguments(
        dataset="Debug28", algorithm=algorithm, output_dir=str(output_dir), steps=STEPS,
        checkpoint_freq=CHECKPOINT_FREQ, seed=5, hparams=json.dumps(hparams),
        variants=["ema", "swad:converge=1"],
    )  # fmt: skip


def _assert_the_model_predicts_as_the_run_did(run):
    """On all images of the target: what depends on a batch gets the batches of the run."""
    x, y = get_dataset_class("Debug28")("", [0], {})[0].tensors
    last = records(run)[-1]
    for split, indices in zip(
        ("in", "out"), holdout_split(len(y), 0.2, seed_hash(0, 0)), strict=True
    ):
        predicted = load_model(run / "model.pkl", "cpu").predict(x[indices]).labels
        right = (predicted == y[indices]).float().mean().item()
        assert right == pytest.approx(last[f"env0_{split}_acc"])


@pytest.mark.parametrize(
    ("algorithm", "changes"),
    [*((name, {}) for name in registry.algorithm_names()), ("NDCL", {"pairing": "released"})],
)
def test_stops_change_nothing(algorithm, changes, tmp_path, monkeypatch):
    train(_arguments(algorithm, tmp_path / "alone", **changes))
    steps = stop_at(*STOPS_AFTER, patch=monkeypatch.setattr)
    for step in STOPS_AFTER:
        with pytest.raises(SystemExit) as stopped:
            train(_arguments(algorithm, tmp_path / "stopped", **changes))
        assert stopped.value.code == 143
        assert f"after step {step};" in (tmp_path / "stopped" / "err.txt").read_text()
    train(_arguments(algorithm, tmp_path / "stopped", **changes))
    _assert_the_model_predicts_as_the_run_did(tmp_path / "stopped")
    assert steps == list(range(STEPS))  # no step was made twice
    assert_same_run(tmp_path / "stopped", tmp_path / "alone")
