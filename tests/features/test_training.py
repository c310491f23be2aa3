"""Runs that train on frozen features."""

import json
import shutil

import pytest
import torch
from PIL import Image

from tests.command_line import call
from tests.features.commands import folders, write_photos
from tests.features.training import train_words
from tests.training.runs import assert_same_run, records
from tests.training.stops import stop_at, stop_in_splits


def test_a_run_trains_an_adapter_and_says_on_what(tmp_path):
    write_photos(tmp_path)
    output = tmp_path / "run"
    outcome = call(*train_words(tmp_path, "--algorithm", "NDCL", "--steps", 3),
                   "--output_dir", output)  # fmt: skip
    assert outcome.status == 0, outcome.err
    (folder,) = folders(tmp_path / "features")
    info = json.loads((folder / "features.json").read_text())
    for record in records(output):
        assert record["network"] == {
            "frozen": True, "backbone": "small_cnn", "weights": "random", "digest": None,
            "image_size": 32, "views": 2, "features": info["digest"],
        }  # fmt: skip
    model = torch.load(output / "model.pkl", weights_only=True)
    assert model["model_input_shape"] == (576,)
    assert model["model_num_classes"] == 2
    widths = {tuple(value.shape) for value in model["model_dict"].values()}
    assert (256, 576) in widths
    assert not {shape for shape in widths if len(shape) == 4}  # no convolution is trained


def test_a_run_with_a_usual_number_of_steps_is_short(tmp_path):
    write_photos(tmp_path)
    output = tmp_path / "run"
    words = train_words(tmp_path, "--skip_model_save", adapter_depth=0)
    assert call(*words, "--output_dir", output).status == 0
    assert [record["step"] for record in records(output)] == [*range(0, 301, 50)]


@pytest.mark.parametrize("more", [
    ["--imbalance", "TotalHeavyTail"],
    ["--task", "domain_adaptation", "--uda_holdout_fraction", 0.5, "--algorithm", "CORAL"],
])  # fmt: skip
def test_other_splits_train_too(tmp_path, more):
    write_photos(tmp_path, per_class=8)
    words = train_words(tmp_path, "--steps", 2, *more)
    outcome = call(*words, "--output_dir", tmp_path / "run")
    assert outcome.status == 0, outcome.err
    assert records(tmp_path / "run")[-1]["step"] == 1


def test_a_stop_changes_nothing_with_unlabeled_images(tmp_path, monkeypatch):
    write_photos(tmp_path, per_class=12)
    words = train_words(
        tmp_path, "--imbalance", "TotalHeavyTail:validation=1", "--unlabeled_fraction", 1.0,
        "--algorithm", "NDCL_Semi", "--steps", 7, "--checkpoint_freq", 3, threshold=0.5,
    )  # fmt: skip
    assert call(*words, "--output_dir", tmp_path / "alone").status == 0
    last = records(tmp_path / "alone")[-1]
    assert last["confident"] > 0
    assert "env1_uda_acc" in last
    assert "env1_out_acc" not in last  # nothing is left of it
    stop_at(4, patch=monkeypatch.setattr)
    assert call(*words, "--output_dir", tmp_path / "stopped").status == 143
    assert call(*words, "--output_dir", tmp_path / "stopped").status == 0
    assert_same_run(tmp_path / "stopped", tmp_path / "alone")


def test_stops_change_nothing_variants_included(tmp_path, monkeypatch):
    write_photos(tmp_path)
    words = train_words(
        tmp_path, "--algorithm", "NDCL", "--steps", 20, "--checkpoint_freq", 3,
        "--variants", "ema", "average", "swad", "swad:converge=1", "adjusted", "crt:steps=3",
        adapter_dropout=0.1, sam_rho=0.05,
    )  # fmt: skip
    assert call(*words, "--output_dir", tmp_path / "alone").status == 0
    splits = 2 + 6  # those that SWAD reads, and those that the figures are of
    stop_at(4, 11, patch=monkeypatch.setattr)
    stop_in_splits(splits + 4, 4 * splits + 5, patch=monkeypatch.setattr)
    for status in (143, 143, 143, 143, 0):
        assert call(*words, "--output_dir", tmp_path / "stopped").status == status
    assert_same_run(tmp_path / "stopped", tmp_path / "alone")


def test_a_stopped_run_does_not_go_on_with_other_features(tmp_path, monkeypatch):
    photos = write_photos(tmp_path)
    words = [*train_words(tmp_path, "--steps", 6), "--output_dir", tmp_path / "run"]
    stop_at(3, patch=monkeypatch.setattr)
    assert call(*words).status == 143
    path = photos / "oil" / "cup" / "001.png"
    kept = path.read_bytes()
    Image.new("RGB", (40, 40), (200, 0, 0)).save(path)
    outcome = call(*words)
    assert outcome.status == 2
    assert "are stale: 1 images changed, such as cup/001.png" in outcome.out
    assert outcome.err == (
        f"error: {tmp_path / 'run' / 'resume.pt'} belongs to a run on other data: image files "
        "were renamed, replaced or changed in size.\n"
        "Use another --output_dir, or start over with --no_resume.\n"
    )
    path.write_bytes(kept)
    outcome = call(*words)
    assert outcome.status == 0, outcome.err
    assert "Resuming after step 3." in outcome.out


def test_a_finished_run_is_left_alone_whatever_becomes_of_the_features(tmp_path):
    write_photos(tmp_path)
    words = [*train_words(tmp_path, "--steps", 1), "--output_dir", tmp_path / "run"]
    assert call(*words).status == 0
    shutil.rmtree(tmp_path / "features")
    outcome = call(*words)
    assert outcome.status == 0, outcome.err
    assert "is done already" in outcome.out
    assert not (tmp_path / "features").exists()
