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
    "digits.yaml": 22 * 3 * 4 * 3,
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
    if name in ("digits.yaml", "smoke.yaml", "photographs.yaml"):
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
    draws = Counter(
        (job.train_args["dataset"], job.train_args["imbalance"], job.train_args["hparams_seed"])
        for job in jobs
    )
    many = dict.fromkeys(
        (("PACS", setting, draw)
         for setting in ("TotalHeavyTail", "Duality", "GINIDG") for draw in range(20)),
        31 * 4 * 3,
    )  # fmt: skip
    cross = dict.fromkeys((("PACS", "Cross", draw) for draw in range(3)), 31 * 4 * 3)
    office = dict.fromkeys(
        (("Office31", setting, draw)
         for setting in ("TotalHeavyTail", "Duality", "Cross") for draw in range(3)),
        31 * 3 * 3,
    )  # fmt: skip
    assert draws == many | cross | office


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
    sweep = yaml.safe_load((SWEEPS / "vit.yaml").read_text())
    for block in [sweep, *sweep.get("blocks", [])]:
        block["hparams"] = block.get("hparams", {}) | SMALL
    (tmp_path / "vit.yaml").write_text(yaml.safe_dump(sweep))
    data = write_images(tmp_path / "data", ["a", "b"], ["x", "y"], 7, size=224)
    outcome = call(
        "sweep", "launch", "--sweep", tmp_path / "vit.yaml", "--datasets", data, "--n_trials", 1,
        "--algorithms", "NDCL", "--test_envs", "a", "--imbalance", "TotalHeavyTail", "--steps", 1,
        "--output_dir", tmp_path / "sweep", "--data_dir", tmp_path, "--skip_model_save",
        "--skip_confirmation",
    )  # fmt: skip
    assert outcome.status == 0, outcome.out + outcome.err
    (path,) = tmp_path.glob("sweep/*/results.jsonl")
    made = json.loads(path.read_text().splitlines()[-1])
    assert made["step"] == 0
    assert SMALL.items() <= made["hparams"].items()


def test_the_feature_space_is_compared_with_the_space_of_predictions():
    kinds = {
        (args["algorithm"], json.loads(args.get("hparams", "{}")).get("space"))
        for args in (job.train_args for job in jobs_of("feature_space.yaml"))
    }
    assert kinds == {("ERM", None), ("NDCL", None), ("NDCL", "feature")}
