"""Features of images or weights that have changed since are computed again; others are kept."""

import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models

from tests.features.commands import arrays, computed, features, folders, write_photos


@pytest.fixture
def photos(tmp_path):
    """A folder of images whose features are there; the size of a file is that of its pixels."""
    photos = write_photos(tmp_path)
    for path in photos.glob("*/*/*.png"):
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    assert features(tmp_path).status == 0
    return photos


def _paint(path):
    """Draw over an image; its file keeps its size."""
    size = path.stat().st_size
    Image.new("RGB", (40, 40), (250, 3, 3)).save(path)
    assert path.stat().st_size == size


def _assert_computed_again(data_dir, reason, **hparams):
    """Assert that the features are stale, and then those that an empty cache would get."""
    (folder,) = folders(data_dir / "features")
    outcome = features(data_dir, **hparams)
    assert outcome.status == 0, outcome.err
    assert f"The features in {folder} are stale: {reason}" in outcome.out
    assert folders(data_dir / "features") == [folder]
    fresh = computed(data_dir, "--feature_cache", data_dir / "empty", **hparams)
    found = arrays(folder)
    assert found.keys() == fresh.keys()
    for name, values in fresh.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    assert "stale" not in features(data_dir, **hparams).out


def test_an_image_that_changed_and_kept_its_size(tmp_path, photos):
    _paint(photos / "oil" / "hat" / "001.bmp")
    _assert_computed_again(tmp_path, "1 images changed, such as hat/001.bmp")


def test_an_image_that_came_and_one_that_moved_to_another_class(tmp_path, photos):
    Image.new("RGB", (40, 40)).save(photos / "ink" / "cup" / "0.png")
    _assert_computed_again(tmp_path, "the dataset had 18 images and has 19")
    shutil.rmtree(tmp_path / "empty")
    (photos / "pen" / "cup" / "000.bmp").rename(photos / "pen" / "hat" / "moved.bmp")
    _assert_computed_again(tmp_path, "the dataset had 19 images and has 19, or other ones")


def test_a_file_that_was_only_touched_is_not_stale_and_is_looked_into_once(tmp_path, photos):
    """Once its new time is known, its content is not read: a change at that time is missed."""
    (folder,) = folders(tmp_path / "features")
    before = (folder / "features.npy").stat()
    path = photos / "oil" / "hat" / "001.bmp"
    os.utime(path, ns=(10**18, 10**18))
    assert "stale" not in features(tmp_path).out
    _paint(path)
    os.utime(path, ns=(10**18, 10**18))
    assert "stale" not in features(tmp_path).out
    after = (folder / "features.npy").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    os.utime(path)
    assert "are stale: 1 images changed" in features(tmp_path).out


def test_weights_that_changed(tmp_path, photos):
    network = models.resnet18(weights=None)
    weights = tmp_path / "weights.pth"
    torch.save(network.state_dict(), weights)
    hparams = {"backbone": "resnet18", "weights": str(weights), "views": 0}
    for path in folders(tmp_path / "features"):
        path.rename(tmp_path / "others")
    assert features(tmp_path, **hparams).status == 0
    os.utime(weights, ns=(10**18, 10**18))
    assert "stale" not in features(tmp_path, **hparams).out
    with torch.no_grad():
        network.conv1.weight.mul_(2)
        network.layer4[1].bn2.bias.add_(1)
    torch.save(network.state_dict(), weights)
    _assert_computed_again(tmp_path, "the weights in weights.pth changed", **hparams)


@pytest.mark.parametrize(
    "changed",
    [{"views": 1}, {"image_size": 28}, {"view_augmentation": "crop_flip"}],
    ids=lambda changed: next(iter(changed)),
)
def test_features_of_another_kind_get_another_folder(tmp_path, photos, changed):
    (folder,) = folders(tmp_path / "features")
    before = arrays(folder)
    outcome = features(tmp_path, **changed)
    assert outcome.status == 0
    assert "stale" not in outcome.out
    assert len(folders(tmp_path / "features")) == 2
    assert all(np.array_equal(values, before[name]) for name, values in arrays(folder).items())


def test_what_does_not_concern_the_features_does_not_change_them(tmp_path, photos):
    outcome = features(tmp_path, lr=0.1, adapter_depth=1, data_augmentation=False)
    assert outcome.status == 0
    assert "of 18 images" not in outcome.out
    assert len(folders(tmp_path / "features")) == 1


def test_features_that_are_damaged_are_computed_again(tmp_path, photos):
    (folder,) = folders(tmp_path / "features")
    (folder / "labels.npy").write_bytes(b"")
    _assert_computed_again(tmp_path, "they cannot be read")


@pytest.mark.parametrize("text", ["[]", '{"images": 18, "views": 1, "width": 4}'])
def test_features_with_a_description_that_lacks_something_are_computed_again(
    tmp_path, photos, text
):
    (folder,) = folders(tmp_path / "features")
    (folder / "features.json").write_text(text)
    _assert_computed_again(tmp_path, "they cannot be read")


def test_what_a_killed_replacement_left_is_not_in_the_way(tmp_path, photos):
    (folder,) = folders(tmp_path / "features")
    left = folder.with_name(f".{folder.name}.stale")
    left.mkdir()
    (left / "features.npy").touch()
    _paint(photos / "oil" / "hat" / "001.bmp")
    _assert_computed_again(tmp_path, "1 images changed")
    assert not left.exists()
