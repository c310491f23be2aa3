"""The features of an image are what the network makes of it, and the arrays say which it is."""

import json
import textwrap

import numpy as np
import pytest
import torch
from PIL import Image

from ndcl_domainbed.features.frozen import NETWORK_SEED
from ndcl_domainbed.testbed.networks import SmallCNN
from tests.features.commands import CLASSES, DOMAINS, computed, features, folders, write_photos

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@torch.no_grad()
def _plain_features(path):
    """Return the features (D,) of one image, computed without this package's transforms."""
    torch.manual_seed(NETWORK_SEED)
    network = SmallCNN((3, 32, 32), {}).eval()
    image = Image.open(path).convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)
    pixels = (np.asarray(image) / 255 - MEAN) / STD
    return network(torch.tensor(pixels.transpose(2, 0, 1)[None], dtype=torch.float32))[0].numpy()


def test_the_first_view_is_the_resized_image_seen_by_the_network(tmp_path):
    photos = write_photos(tmp_path)
    found = computed(tmp_path)
    paths = [
        path for domain in DOMAINS for name in CLASSES
        for path in sorted((photos / domain / name).iterdir())
    ]  # fmt: skip
    assert found["features"].dtype == np.float16
    assert found["features"].shape == (18, 3, 576)
    expected = np.stack([_plain_features(path) for path in paths])
    np.testing.assert_allclose(found["features"][:, 0], expected, rtol=1e-3, atol=1e-4)
    assert expected.std() > 0.02  # far more than the tolerance


def test_the_arrays_say_which_image_is_where(tmp_path):
    photos = write_photos(tmp_path)
    found = computed(tmp_path)
    assert found["labels"].tolist() == [0, 0, 0, 1, 1, 1] * 3
    assert found["domains"].tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert found["files"].tolist() == [
        f"{name}/{number:03}.png" for _ in DOMAINS for name in CLASSES for number in range(3)
    ]
    first = (photos / "ink" / "cup" / "000.png").stat()
    assert found["stats"][0].tolist() == [first.st_size, first.st_mtime_ns]


def test_the_json_file_says_what_the_features_are(tmp_path):
    write_photos(tmp_path)
    assert features(tmp_path).status == 0
    (folder,) = folders(tmp_path / "features")
    info = json.loads((folder / "features.json").read_text())
    expected = {
        "dataset": "photos", "domains": DOMAINS, "classes": CLASSES, "images": 18, "width": 576,
        "backbone": "small_cnn", "image_size": 32, "views": 2, "view_augmentation": "domainbed",
        "weights": {"backbone": "small_cnn", "weights": "random", "digest": None},
    }  # fmt: skip
    assert info.items() >= expected.items()
    assert info["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize("place", ["data", "Tom's {old} data"])
def test_the_printed_lines_load_the_arrays(tmp_path, place):
    write_photos(tmp_path / place)
    outcome = features(tmp_path / place)
    assert outcome.status == 0, outcome.err
    lines = outcome.out.split("Load them in Python:\n")[1]
    loaded = {}
    exec(textwrap.dedent(lines), loaded)
    assert loaded["x"].shape == (18, 3, 576)
    assert loaded["y"].tolist() == [0, 0, 0, 1, 1, 1] * 3
    assert loaded["files"][3] == "hat/000.png"


def test_a_vision_transformer_sees_small_images(tmp_path):
    pytest.importorskip("timm")
    write_photos(tmp_path, per_class=1, size=32)
    backbone = "timm:vit_small_patch14_dinov2.lvd142m"
    found = computed(tmp_path, backbone=backbone, image_size=28, views=1)["features"]
    assert found.shape == (6, 2, 384)
    assert (found.std(axis=0) > 0).any()  # the network does see a difference
