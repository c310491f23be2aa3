"""The sweeps that the repository names."""

import functools
import json
from collections import Counter
from pathlib import Path

import pytest
import yaml

from ndcl_domainbed.sweeping import checking, grid
from ndcl_domainbed.sweeping.flags import parse
from tests.command_line import call
from tests.image_folders import write_images
from tests.training.runs import records

SWEEPS = Path(__file__).parents[2] / "sweeps"
COMPARED = {
    "NDCL", "ERM", "IRM", "GroupDRO", "Mixup", "MLDG", "CORAL", "MMD", "DANN", "SagNet", "VREx",
    "RSC", "Fishr", "RDM", "Focal", "ReWeight", "BSoftmax", "LDAM", "BoDA", "GINIDG", "PGrad",
    "TCRI_HSIC",
}  # fmt: skip


@functools.cache
def jobs_of(name):
    argv = ["plan", "--sweep", str(SWEEPS / name), "--output_dir", "out", "--data_dir", "data"]
    _, grids = parse(argv)
    grids = [checking.fill_in_defaults(item) for item in grids]
    checking.check_grids(grids, {})
    return grid.expand(grids, "out")


def test_every_file_is_known_here():
    assert sorted(path.name for path in SWEEPS.glob("*.yaml")) == sorted(COUNTS)


COUNTS = {
    "paper.yaml": (22 + 1) * (2 * 3 + 2) * 4 * 20 * 3,
    "domainnet.yaml": 22 * 2 * 6 * 20 * 3,
    "digits.yaml": (22 + 8 + 1) * 3 * 4 * 3,
    "smoke.yaml": 22 * 4,
    "demo.yaml": 4 * 4,
    "ablation.yaml": 17 * 4 * 3,
    "vit.yaml": 4 * 2 * 3 * 4 * 3,
    "feature_space.yaml": 3 * 2 * 3 * 4 * 3,
    "photographs.yaml": (22 + 1) * (4 * 4 + 3 * 3) * 3,
    "variants.yaml": 4 * (4 * 4 + 3 * 3) * 3,
    "fine_tuned.yaml": (4 + 1) * 4,
    "extended.yaml": (3 + 8) * (4 * 4 + 3 * 3) * 3,
    "comparison.yaml": (22 + 8 + 1) * (3 * 4 * 20 + (4 + 3 * 3) * 3) * 3,
}


@pytest.mark.parametrize("name", sorted(COUNTS.keys() - {"paper.yaml", "comparison.yaml"}))
def test_a_sweep_has_its_jobs(name):
    jobs = jobs_of(name)
    assert len(jobs) == COUNTS[name]
    if name in ("smoke.yaml", "photographs.yaml"):
        assert {job.train_args["algorithm"] for job in jobs} == COMPARED


def test_the_paper_compares_three_settings_on_the_data_sets_that_have_them():
    jobs = jobs_of("paper.yaml")
    pairs = Counter((job.train_args["imbalance"], job.train_args["dataset"]) for job in jobs)
    both = {(s, d) for s in ("TotalHeavyTail", "Duality") for d in ("VLCS", "PACS", "OfficeHome")}
    assert set(pairs) == both | {("GINIDG", "VLCS"), ("GINIDG", "PACS")}
    assert set(pairs.values()) == {(22 + 1) * 4 * 20 * 3}
    hparams = [json.loads(job.train_args["hparams"]) for job in jobs]
    rows = {
        (job.train_args["algorithm"], found.pop("class_prior", None))
        for job, found in zip(jobs, hparams, strict=True)
    }
    assert rows == {*((name, None) for name in COMPARED), ("NDCL", "inverse")}
    assert all(found == {"freeze_bn": True, "resnet50_augmix": False} for found in hparams)


def test_the_comparison_continues_photographs_and_extended():
    jobs = jobs_of("comparison.yaml")
    assert len(jobs) == COUNTS["comparison.yaml"] == 25_947
    defaults = {job.folder for job in jobs if job.train_args["hparams_seed"] == 0}
    earlier = {
        job.folder for name in ("photographs.yaml", "extended.yaml") for job in jobs_of(name)
    }
    assert defaults == earlier


def test_an_ablation_changes_one_choice_at_a_time():
    given = {job.train_args["hparams"] for job in jobs_of("ablation.yaml")}
    shared = {"frozen", "backbone", "image_size"}
    changes = [json.loads(text).keys() - shared for text in given]
    assert len(changes) == 16
    assert sorted(map(len, changes)) == [0, *[1] * 14, 2]  # two to leave out two of the losses


SMALL = {
    "backbone": "timm:vit_tiny_patch16_224", "pretrained": False, "batch_size": 2, "image_size": 32,
}  # fmt: skip
"""A small stand-in for the network, which has random weights."""


def test_the_sweep_of_transformers_trains(tmp_path):
    hparams = yaml.safe_load((SWEEPS / "vit.yaml").read_text())["hparams"] | SMALL
    data = write_images(tmp_path / "data", ["a", "b"], ["x", "y"], 7, size=40)
    outcome = call(
        "train", "--dataset", data, "--algorithm", "NDCL", "--imbalance", "TotalHeavyTail",
        "--steps", 1, "--hparams", json.dumps(hparams), "--output_dir", tmp_path / "run",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    assert SMALL.items() <= records(tmp_path / "run")[-1]["hparams"].items()
