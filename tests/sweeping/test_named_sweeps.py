"""The sweeps that the repository names."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

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


def jobs_of(name):
    argv = ["plan", "--sweep", str(SWEEPS / name), "--output_dir", "out", "--data_dir", "data"]
    _, grids = parse(argv)
    grids = [checking.completed(item) for item in grids]
    checking.check_grids(grids, {})
    return grid.expand(grids, "out")


def test_every_file_is_known_here():
    assert sorted(path.name for path in SWEEPS.glob("*.yaml")) == sorted(COUNTS)


COUNTS = {
    "paper.yaml": 22 * (2 * 3 + 2) * 4 * 20 * 3,
    "domainnet.yaml": 22 * 2 * 6 * 20 * 3,
    "digits.yaml": 22 * 3 * 4 * 3,
    "smoke.yaml": 22 * 4,
    "ablation.yaml": 16 * 4 * 3,
    "vit.yaml": 4 * 2 * 3 * 4 * 3,
    "feature_space.yaml": 3 * 2 * 3 * 4 * 3,
}


@pytest.mark.parametrize("name", ["digits.yaml", "smoke.yaml", "paper.yaml"])
def test_the_compared_algorithms_are_the_22(name):
    jobs = jobs_of(name)
    assert len(jobs) == COUNTS[name]
    assert {job.train_args["algorithm"] for job in jobs} == COMPARED


def test_the_paper_compares_three_settings_on_the_data_sets_that_have_them():
    pairs = Counter(
        (job.train_args["imbalance"], job.train_args["dataset"]) for job in jobs_of("paper.yaml")
    )
    both = {(s, d) for s in ("TotalHeavyTail", "Duality") for d in ("VLCS", "PACS", "OfficeHome")}
    assert set(pairs) == both | {("GINIDG", "VLCS"), ("GINIDG", "PACS")}
    assert set(pairs.values()) == {22 * 4 * 20 * 3}


@pytest.mark.parametrize(
    "name", ["domainnet.yaml", "ablation.yaml", "vit.yaml", "feature_space.yaml"]
)
def test_the_other_sweeps_name_what_there_is(name):
    assert len(jobs_of(name)) == COUNTS[name]


def test_an_ablation_changes_one_choice_at_a_time():
    hparams = {job.train_args.get("hparams") for job in jobs_of("ablation.yaml")}
    assert None in hparams
    assert len(hparams) == 15


SMALL = {
    "vit.yaml": {"backbone": "timm:vit_tiny_patch16_224", "pretrained": False, "batch_size": 2},
    "feature_space.yaml": {"backbone": "resnet18", "pretrained": False, "batch_size": 2},
}


@pytest.mark.parametrize("name", SMALL)
def test_the_sweeps_of_open_questions_train(tmp_path, name):
    if name == "vit.yaml":
        pytest.importorskip("timm")
    data = write_images(tmp_path / "data", ["a", "b"], ["x", "y"], 4, size=224)
    (overrides,) = {job.train_args["hparams"] for job in jobs_of(name) if _is_new(job.train_args)}
    hparams = {**json.loads(overrides), **SMALL[name]}
    outcome = call(
        "train", "--algorithm", "NDCL", "--dataset", data, "--hparams", json.dumps(hparams),
        "--steps", 2, "--holdout_fraction", 0.5, "--output_dir", tmp_path / "run",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    record = json.loads((tmp_path / "run" / "results.jsonl").read_text().splitlines()[-1])
    assert record["step"] == 1
    assert hparams.items() <= record["hparams"].items()


def _is_new(train_args):
    return train_args["algorithm"] == "NDCL" and train_args.get("hparams") is not None
