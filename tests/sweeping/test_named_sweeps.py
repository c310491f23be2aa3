"""The sweeps that the repository names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from ndcl_domainbed.sweeping import checking, grid
from ndcl_domainbed.sweeping.flags import parse

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


@pytest.mark.parametrize("name", ["domainnet.yaml", "ablation.yaml"])
def test_the_other_sweeps_name_what_there_is(name):
    assert len(jobs_of(name)) == COUNTS[name]


def test_an_ablation_changes_one_choice_at_a_time():
    hparams = {job.train_args.get("hparams") for job in jobs_of("ablation.yaml")}
    assert None in hparams
    assert len(hparams) == 15
