"""A short run, and what the folders of two runs have in common that end with the same numbers."""

import json

import torch

from tests.command_line import call

VOLATILE = ("step_time", "mem_gb")


def train_shortly(output, *more):
    """Train ERM on random images for two steps, but for what ``more`` says; return the outcome."""
    return call(
        "train", "--dataset", "Debug28", "--algorithm", "ERM", "--steps", 2,
        "--hparams", '{"backbone": "small_cnn", "batch_size": 4}', "--output_dir", output, *more,
    )  # fmt: skip


def records(folder):
    """Return the records of a run; none if it has not written any."""
    if not (folder / "results.jsonl").exists():
        return []
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def lasting(folder):
    """Return the records without what depends on when, how fast or where they were made."""
    found = records(folder)
    for record in found:
        for name in VOLATILE:
            del record[name]
        del record["args"]["output_dir"]
    return found


def assert_same_run(one, other):
    """Assert that two finished runs have the same records and weights, bit for bit."""
    assert lasting(one) == lasting(other)
    models = [
        torch.load(folder / "model.pkl", weights_only=True)["model_dict"] for folder in (one, other)
    ]
    assert models[0].keys() == models[1].keys()
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    for folder in (one, other):
        names = {path.name for path in folder.iterdir()}
        assert "done" in names
        assert not names & {"resume.pt", ".lock"}
        assert not [name for name in names if "partial" in name]
