"""The diagnostics of finished runs, from a small training to the files that the command writes."""

from __future__ import annotations

import json
from html import unescape

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ndcl_domainbed.diagnostics.mixed_samples import draw_samples
from ndcl_domainbed.diagnostics.saved_run import load_run
from tests.command_line import call
from tests.image_folders import write_images
from tests.training.runs import records

NAMES = ("confusion", "confidence", "bound", "hard-negatives")
CLASSES = ["ash", "beech", "cedar"]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_images(root / "trees", ["a", "b", "c"], CLASSES, per_class=40)
    return root


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
    """Return a function that trains a run and returns its folder."""

    def train(algorithm, *flags):
        folder = tmp_path_factory.mktemp(algorithm)
        outcome = call("train", "--dataset", "trees", "--data_dir", data_dir, "--algorithm",
                       algorithm, "--test_envs", 0, "--steps", 12, "--checkpoint_freq", 12,
                       "--output_dir", folder, "--num_workers", 0, *flags)  # fmt: skip
        assert outcome.status == 0, outcome.err
        return folder

    return train


@pytest.fixture(scope="module")
def ndcl(trained):
    flags = {"batch_size": 8, "mixup": 100.0, "mixup_per_pair": True}
    return trained("NDCL", "--imbalance", "TotalHeavyTail", "--hparams", json.dumps(flags))


@pytest.fixture(scope="module")
def erm(trained):
    return trained("ERM", "--imbalance", "TotalHeavyTail", "--hparams", '{"batch_size": 8}')


@pytest.fixture(scope="module")
def diagnosed(ndcl, erm, tmp_path_factory):
    """Return a function that gives the table and the caption of a check of both runs."""

    def diagnose(name, *flags):
        out = tmp_path_factory.mktemp(name)
        outcome = call("diagnose", name, "--run", ndcl, "--compare", erm, "--output", out, *flags)
        assert outcome.status == 0, outcome.err
        with Image.open(out / f"{name}.png") as picture:
            assert picture.width > 500
        caption = json.loads((out / f"{name}.json").read_text())["caption"]
        assert caption in outcome.out
        assert caption in unescape((out / "index.html").read_text())
        return pd.read_csv(out / f"{name}.csv"), caption

    return diagnose


@pytest.fixture(scope="module")
def small(diagnosed):
    """Return the table and the caption of every check, of 30 images of a split."""
    return {name: diagnosed(name, "--images", 30) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_every_check_is_of_both_runs_and_repeats_itself(name, small, diagnosed):
    table, caption = small[name]
    assert set(table["run"]) == {"NDCL", "ERM"}
    assert caption.endswith(".")
    again, _ = diagnosed(name, "--images", 30)
    pd.testing.assert_frame_equal(table, again)


def test_confusion_has_the_accuracy_of_the_records(diagnosed, ndcl):
    table, _ = diagnosed("confusion")
    mine = table[table["run"] == "NDCL"]
    cells, bins = (mine[mine["part"] == part] for part in ("confusion", "reliability"))
    last = records(ndcl)[-1]
    right = cells[cells["true"] == cells["predicted"]]["images"].sum()
    assert right / cells["images"].sum() == pytest.approx(last["env0_in_acc"])
    assert bins["images"].sum() == cells["images"].sum()
    summary = mine[mine["part"] == "all images"].iloc[0]
    assert summary["accuracy"] == pytest.approx(last["env0_in_acc"])
    trained = cells.set_index("true")["training_images_of_true"].to_dict()
    wrong = cells[cells["true"] != cells["predicted"]]
    gain = wrong["predicted"].map(trained) - wrong["true"].map(trained)
    for name, towards in (("errors_to_more", gain > 0), ("errors_to_fewer", gain < 0)):
        share = wrong["images"][towards].sum() / wrong["images"].sum()
        assert summary[name] == pytest.approx(share)
    held = bins[bins["images"] > 0]
    assert (held["accuracy"] * held["images"]).sum() == pytest.approx(right)
    counts = cells["training_images_of_true"].to_numpy()
    assert (np.diff(counts) <= 0).all()
    assert counts[0] > counts[-1]


def test_margin_loss_at_zero_is_the_error_of_the_records(diagnosed, erm):
    table, _ = diagnosed("bound")
    last = records(erm)[-1]
    at_zero = table[(table["run"] == "ERM") & (table["delta"] == 0)]
    found = at_zero[at_zero["where"] == "target"].set_index("shots")["value"]
    suffixes = {"many": "0many", "medium": "1median", "few": "2few"}
    assert len(found) >= 2
    for group, value in found.items():
        assert value == pytest.approx(1 - last[f"env0_in_{suffixes[group]}"])


def test_confidence_measures_every_domain_in_both_spaces(small):
    table, _ = small["confidence"]
    assert len(table) == 2 * 3 * 2  # runs, domains, spaces
    assert table.groupby("domain")["unseen"].all().to_dict() == {"a": True, "b": False, "c": False}
    assert (table["images"] <= 30).all()
    assert (table["low"] <= table["spearman"]).all()
    assert (table["spearman"] <= table["high"]).all()
    assert (table["images"] + table["not_crossed"] <= 30).all()


def test_a_run_of_ndcl_is_mixed_by_its_own_hyper_parameters_any_other_by_the_defaults(ndcl, erm):
    """Beta(100, 100) keeps every weight near one half; Beta(0.2, 0.2) keeps few there."""
    shares = [draw_samples(load_run(folder), 60, seed=0).hard.shares for folder in (ndcl, erm)]
    assert (shares[0] > 0.3).all()
    assert len(np.unique(shares[0])) > 0.9 * len(shares[0])  # a weight per pair
    assert (shares[1] < 0.1).mean() > 0.3


def test_other_images_are_drawn_with_another_seed(small, diagnosed):
    other, _ = diagnosed("bound", "--images", 30, "--seed", 1)
    assert not other.equals(small["bound"][0])


def test_bound_needs_shot_groups(trained, tmp_path):
    folder = trained("ERM")
    outcome = call("diagnose", "bound", "--run", folder, "--output", tmp_path)
    assert outcome.status == 2
    assert "without --imbalance" in outcome.err
    assert call("diagnose", "confusion", "--run", folder, "--output", tmp_path).status == 0


@pytest.mark.parametrize("name", ["confidence", "bound", "hard-negatives"])
@pytest.mark.parametrize(
    ("algorithm", "reason"),
    [("MTL", "predicts from more than its features"), ("SagNet", "no featurizer and classifier")],
)
def test_algorithm_that_cannot_be_looked_into(algorithm, reason, name, others, tmp_path):
    outcome = call("diagnose", name, "--run", others[algorithm], "--output", tmp_path)
    assert outcome.status == 2
    assert reason in outcome.err
    assert "Traceback" not in outcome.err


@pytest.fixture(scope="module")
def others(trained):
    return {name: trained(name, "--imbalance", "TotalHeavyTail") for name in ("MTL", "SagNet")}


def test_confusion_of_a_model_that_predicts_from_the_batch(others, tmp_path):
    """MTL has no classifier of the features alone, but its predictions can be counted."""
    outcome = call("diagnose", "confusion", "--run", others["MTL"], "--output", tmp_path)
    assert outcome.status == 0, outcome.err
    table = pd.read_csv(tmp_path / "confusion.csv")
    right = table[table["true"] == table["predicted"]]["images"].sum()
    accuracy = records(others["MTL"])[-1]["env0_in_acc"]
    assert right / table[table["part"] == "confusion"]["images"].sum() == pytest.approx(accuracy)
