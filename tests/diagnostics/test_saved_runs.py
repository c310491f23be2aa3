"""The checks of finished runs, from a small training to the files that the command writes."""

import json
import shutil
from html import unescape

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from imbalance_splits.errors import InputError
from ndcl_domainbed.diagnostics import diagnostic_names
from ndcl_domainbed.diagnostics.checks.hard_negatives import draw_samples
from ndcl_domainbed.diagnostics.saved_run import load_run
from tests.command_line import call
from tests.image_folders import write_images
from tests.training.runs import records

NAMES = ("confusion", "confidence", "bound", "hard-negatives")
HPARAMS = {"backbone": "small_cnn", "batch_size": 8}


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Return a function that trains a run on three domains of images and returns its folder."""
    root = tmp_path_factory.mktemp("data")
    for name in ("trees", "sparse"):
        write_images(root / name, ["a", "b", "c"], ["ash", "beech", "cedar"], per_class=40)
    for absent in ("a/ash", "b/cedar"):
        shutil.rmtree(root / "sparse" / absent)

    def train(algorithm, *flags, dataset="trees", **hparams):
        folder = tmp_path_factory.mktemp(algorithm)
        hparams = json.dumps({**HPARAMS, **hparams})
        outcome = call("train", "--dataset", dataset, "--data_dir", root, "--algorithm", algorithm,
                       "--test_envs", 0, "--steps", 12, "--checkpoint_freq", 12, "--hparams",
                       hparams, "--output_dir", folder, "--num_workers", 0, *flags)  # fmt: skip
        assert outcome.status == 0, outcome.err
        return folder

    return train


@pytest.fixture(scope="module")
def ndcl(train):
    return train("NDCL", "--imbalance", "TotalHeavyTail", mixup=100.0, mixup_per_pair=True)


@pytest.fixture(scope="module")
def erm(train):
    return train("ERM", "--imbalance", "TotalHeavyTail")


@pytest.fixture(scope="module")
def diagnose(ndcl, erm, tmp_path_factory):
    """Return a function that returns the table of a check of both runs."""

    def diagnose(name, *flags):
        out = tmp_path_factory.mktemp(name)
        outcome = call("diagnose", name, "--run", ndcl, "--compare", erm, "--output", out, *flags)
        assert outcome.status == 0, outcome.err
        with Image.open(out / f"{name}.png") as image:
            assert image.width > 500
        caption = json.loads((out / f"{name}.json").read_text())["caption"]
        assert caption in outcome.out
        assert caption in unescape((out / "index.html").read_text())
        return pd.read_csv(out / f"{name}.csv")

    return diagnose


@pytest.fixture(scope="module")
def small(diagnose):
    """Return the table of every check, of 20 images of a split."""
    return {name: diagnose(name, "--images", 20) for name in NAMES}


def test_a_check_repeats_itself_and_draws_other_images_with_another_seed(small, diagnose):
    pd.testing.assert_frame_equal(small["bound"], diagnose("bound", "--images", 20))
    assert not diagnose("bound", "--images", 20, "--seed", 1).equals(small["bound"])


def test_every_check_shows_both_runs(small):
    for table in small.values():
        assert set(table["run"]) == {"NDCL", "ERM"}


def test_confusion_has_the_accuracy_of_the_records(small, ndcl):
    table = small["confusion"].query("run == 'NDCL'")
    cells, bins = (table[table["part"] == part] for part in ("confusion", "reliability"))
    accuracy = records(ndcl)[-1]["env0_in_acc"]
    right = cells[cells["true"] == cells["predicted"]]["images"].sum()
    assert right / cells["images"].sum() == pytest.approx(accuracy)
    assert table[table["part"] == "all images"]["accuracy"].item() == pytest.approx(accuracy)
    assert (bins["accuracy"] * bins["images"]).sum() == pytest.approx(right)
    counts = cells["training_images_of_true"].to_numpy()
    assert (np.diff(counts) <= 0).all()
    assert counts[0] > counts[-1]


def test_confidence_measures_every_domain_in_both_spaces(small):
    table = small["confidence"]
    assert len(table) == 2 * 3 * 2  # runs, domains, spaces
    assert table.groupby("domain")["unseen"].all().to_dict() == {"a": True, "b": False, "c": False}
    known = table[table["spearman"].notna()]  # it is unknown where all images are as far away
    assert len(known) >= len(table) / 2
    assert (known["low"] <= known["spearman"]).all()
    assert (known["spearman"] <= known["high"]).all()
    assert (table["images"] + table["not_crossed"] <= 20).all()


def test_a_run_of_ndcl_is_mixed_by_its_own_hyper_parameters_any_other_by_the_defaults(ndcl, erm):
    """Beta(100, 100) keeps every weight near one half; Beta(0.2, 0.2) keeps few there."""
    shares = [draw_samples(load_run(folder), 60, seed=0)["hard"].shares for folder in (ndcl, erm)]
    assert (shares[0] > 0.3).all()
    assert len(np.unique(shares[0])) > 0.9 * len(shares[0])  # a weight per pair
    assert (shares[1] < 0.1).mean() > 0.3


def test_bound_needs_shot_groups(train, tmp_path):
    folder = train("ERM")
    outcome = call("diagnose", "bound", "--run", folder, "--output", tmp_path)
    assert outcome.status == 2
    assert "without --imbalance" in outcome.err


def test_algorithm_without_features_has_a_confusion_matrix_alone(train, tmp_path):
    folder = train("MTL", "--imbalance", "TotalHeavyTail")
    reason = "predicts from more than its features"
    outcome = call("diagnose", "all", "--run", folder, "--output", tmp_path)
    assert outcome.status == 0
    for name in set(NAMES) - {"confusion"}:
        (line,) = (
            line for line in outcome.err.splitlines() if line.startswith(f"{name}: left out")
        )
        assert reason in line
    assert "Traceback" not in outcome.err
    summary = pd.read_csv(tmp_path / "confusion.csv").query("part == 'all images'")
    assert summary["accuracy"].item() == pytest.approx(records(folder)[-1]["env0_in_acc"])
    other = train("SagNet", "--imbalance", "TotalHeavyTail")
    for run, why in ((folder, reason), (other, "no featurizer and classifier")):
        alone = call("diagnose", "bound", "--run", run, "--output", tmp_path)
        assert (alone.status, why in alone.err) == (2, True)


def test_a_run_on_frozen_features_without_some_classes_has_every_check(train, tmp_path):
    flags = ("--imbalance", "TotalHeavyTail", "--diagnostics")
    folder = train("NDCL", *flags, dataset="sparse", frozen=True, image_size=28)
    outcome = call("diagnose", "all", "--run", folder, "--images", 20, "--output", tmp_path / "out")
    assert (outcome.status, outcome.err) == (0, "")
    for name in diagnostic_names():
        caption = json.loads((tmp_path / "out" / f"{name}.json").read_text())["caption"]
        of_inputs = name in ("confidence", "hard-negatives")
        assert ("NDCL are features of a frozen network, not pixels" in caption) == of_inputs


def test_data_that_moved_can_be_named(erm, tmp_path):
    flags = ("diagnose", "confusion", "--run", erm, "--output", tmp_path / "out")
    outcome = call(*flags, "--data_dir", tmp_path)
    assert outcome.status == 2
    assert f"trees cannot be read from {tmp_path}" in outcome.err
    assert "--data_dir" in outcome.err
    data_dir = json.loads((erm / "results.jsonl").read_text().splitlines()[0])["args"]["data_dir"]
    (tmp_path / "moved").symlink_to(data_dir)
    outcome = call(*flags, "--data_dir", tmp_path / "moved")
    assert outcome.status == 0, outcome.err


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04"])
def test_a_file_that_is_no_saved_model_is_named_with_a_reason(tmp_path, content):
    (tmp_path / "model.pkl").write_bytes(content)
    with pytest.raises(InputError, match=r"model\.pkl cannot be read as a saved model: \w"):
        load_run(tmp_path)


def test_what_a_saved_model_lacks_is_named(tmp_path):
    torch.save({"args": {}, "model_hparams": {}}, tmp_path / "model.pkl")
    with pytest.raises(InputError, match=r"is no saved model: it has no .*model_dict"):
        load_run(tmp_path)
