"""A run that is killed at any moment, and started again, ends with the same numbers."""

from __future__ import annotations

import random
import time

import pytest

from tests.training.processes import Command
from tests.training.runs import assert_same_run

ALGORITHMS = ["ERM", "NDCL", "DANN", "Fishr", "MLDG", "BoDA"]
KILLS = 20
FLAGS = (
    "--dataset", "Debug28", "--steps", 240, "--checkpoint_freq", 4, "--seed", 7,
    "--hparams", '{"backbone": "small_cnn", "batch_size": 6, "resnet_dropout": 0.1}',
)  # fmt: skip


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_twenty_kills_change_nothing(algorithm, tmp_path):
    command = ("train", "--algorithm", algorithm, *FLAGS)
    alone = Command(tmp_path / "alone", *command)
    assert alone.status() == 0, alone.said
    delays = random.Random(algorithm)
    for _ in range(KILLS):
        # Each attempt is killed a moment after a new record, so all get on and stop elsewhere.
        attempt = Command(tmp_path / "killed", *command)
        size = attempt.records_size()
        attempt.wait_until(lambda run=attempt, size=size: run.records_size() > size)
        time.sleep(delays.uniform(0.0, 0.02))
        attempt.kill()
    last = Command(tmp_path / "killed", *command)
    assert last.status() == 0, last.said
    assert_same_run(tmp_path / "killed", tmp_path / "alone")
    assert (tmp_path / "killed" / "out.txt").read_text().count("Going on after step") >= 10
