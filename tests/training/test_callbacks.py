"""A callback of the user's own: told of every update and record, its state kept over a stop."""

import json
import signal
from contextlib import contextmanager

import pytest

from ndcl_domainbed.training.arguments import TrainArguments
from ndcl_domainbed.training.callbacks import Callback, UnsuitableAlgorithm
from ndcl_domainbed.training.run import train


class Counter(Callback):
    """Counts updates and samples; stops the run in the update ``stop_at``."""

    name = "counter"

    def __init__(self, stop_at=None):
        self.stop_at = stop_at

    def check(self, algorithm, hparams=None):
        if algorithm == "CORAL":
            raise UnsuitableAlgorithm("no counting of CORAL")

    def start(self, run, state):
        self.state = state

    @contextmanager
    def around_update(self, step, minibatches):
        if step == self.stop_at:
            signal.raise_signal(signal.SIGTERM)
        yield
        for name, value in (("updates", 1), ("samples", sum(len(y) for _, y in minibatches))):
            self.state[name] = self.state.get(name, 0) + value

    def on_record(self, step):
        return dict(self.state) if step else None


def _train(folder, counter, **changes):
    hparams = '{"backbone": "small_cnn", "batch_size": 4}'
    more = {"dataset": "Debug28", "steps": 6, "checkpoint_freq": 2, "hparams": hparams, **changes}
    train(TrainArguments(**more, output_dir=str(folder), skip_model_save=True), [counter])


def test_a_callback_sees_the_run_and_survives_a_stop(tmp_path):
    with pytest.raises(SystemExit):
        _train(tmp_path, Counter(stop_at=3))
    _train(tmp_path, Counter())
    lines = [json.loads(line) for line in (tmp_path / "counter.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 5]
    assert [line["updates"] for line in lines] == [3, 5, 6]
    assert lines[-1]["samples"] == lines[-1]["updates"] * lines[0]["samples"] / 3


def test_a_callback_can_refuse_an_algorithm(tmp_path):
    with pytest.raises(UnsuitableAlgorithm, match="no counting"):
        _train(tmp_path, Counter(), algorithm="CORAL")
    assert not (tmp_path / "counter.jsonl").exists()
