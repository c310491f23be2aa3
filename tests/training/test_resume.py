"""A run that is killed at any moment, and started again, ends with the same numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ndcl_domainbed.registry import algorithm_names
from ndcl_domainbed.training import checkpoints

ROOT = Path(__file__).parents[2]
ALGORITHMS = ["ERM", "NDCL", "DANN", "Fishr", "MLDG", "BoDA"]


def _run(algorithm, output_dir, kills, seed=0):
    command = [sys.executable, "-m", "tests.training.kill_again_and_again"]
    command += [algorithm, str(output_dir), str(kills), str(seed)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )


def _lasting(folder):
    records = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    for record in records:
        del record["step_time"], record["mem_gb"], record["args"]["output_dir"]
    return records


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_twenty_kills_change_nothing(algorithm, tmp_path):
    alone = _run(algorithm, tmp_path / "alone", 0)
    assert alone.returncode == 0, alone.stderr
    killed = _run(algorithm, tmp_path / "killed", 20, seed=len(algorithm))
    assert killed.returncode == 0, killed.stderr
    assert _lasting(tmp_path / "killed") == _lasting(tmp_path / "alone")
    models = [
        torch.load(tmp_path / name / "model.pkl", weights_only=True)["model_dict"]
        for name in ("alone", "killed")
    ]
    assert models[0].keys() == models[1].keys()
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    assert (tmp_path / "killed" / "out.txt").read_text().count("Going on after step") >= 10
    names = {path.name for path in (tmp_path / "killed").iterdir()}
    assert "done" in names
    assert checkpoints.RESUME_FILE not in names
    assert not [name for name in names if "partial" in name]


def test_the_algorithms_tested_exist():
    assert set(ALGORITHMS) <= set(algorithm_names())
