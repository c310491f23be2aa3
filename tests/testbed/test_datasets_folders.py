"""Datasets of image folders, on real files."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder

from imbalance_splits.errors import InputError
from ndcl_domainbed.testbed.datasets import environment_names, get_dataset_class
from ndcl_domainbed.testbed.datasets.image_folders import PublishedFolders
from tests.image_folders import write_images
from tests.imbalance_splits.stand_ins import forbid_listing

AUGMENTED, PLAIN = {"data_augmentation": True}, {"data_augmentation": False}
PACS = ["art_painting", "cartoon", "photo", "sketch"]
KNOWN = {cls.__name__: cls for cls in PublishedFolders.__subclasses__()}


@pytest.fixture
def pacs(tmp_path):
    """A data directory with a small PACS of larger images."""
    write_images(tmp_path / "PACS", PACS, ["dog", "house"], 2, size=60)
    return tmp_path


def _open(name, root, test_envs=(), hparams=PLAIN):
    return get_dataset_class(str(name), str(root))(str(root), list(test_envs), hparams)


@pytest.mark.parametrize("name", KNOWN)
def test_known_data_sets_are_read_from_domainbeds_folders(name, tmp_path):
    folder = {"OfficeHome": "office_home", "DomainNet": "domain_net"}.get(name, name)
    folder = {"TerraIncognita": "terra_incognita"}.get(name, folder)
    write_images(tmp_path / folder, KNOWN[name].DOMAIN_FOLDERS, ["b", "a"], 1)
    dataset = _open(name, tmp_path)
    assert len(dataset) == len(dataset.ENVIRONMENTS)
    assert [domain.root.name for domain in dataset] == KNOWN[name].DOMAIN_FOLDERS
    assert (dataset.num_classes, dataset.classes) == (2, ["a", "b"])
    assert dataset.input_shape == (3, 224, 224)  # whatever the size of the files


def test_images_come_in_the_order_of_torchvision(tmp_path):
    root = write_images(tmp_path / "set", ["one", "two"], ["x", "y"], 3)
    below = root / "one" / "y" / "deep" / "er"
    below.mkdir(parents=True)
    for name in ("B.JPEG", "a.webp", "A.bmp", "10.tif", "9.tiff"):
        Image.new("RGB", (9, 9)).save(below / name)
    Image.new("L", (9, 9)).save(root / "one" / "y" / "z.pgm")
    (root / "one" / "y" / "notes.txt").write_text("no image")
    for domain in _open(root, tmp_path):
        theirs = ImageFolder(domain.root)
        assert domain.samples == theirs.samples
        assert domain.targets == theirs.targets
        assert domain.classes == theirs.classes
        assert len(domain) == len(theirs)


def test_plain_images_are_resized_and_normalised_as_domainbed_does(pacs):
    dataset = _open("PACS", pacs, test_envs=[0, 1, 2, 3], hparams=AUGMENTED)
    image, label = dataset[1][3]
    assert label == 1
    with Image.open(pacs / "PACS" / "cartoon" / "house" / "001.png") as file:
        pixels = np.asarray(file.resize((224, 224), Image.Resampling.BILINEAR)) / 255
    expected = (pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(image.numpy(), expected.transpose(2, 0, 1), atol=1e-6)


def test_only_training_domains_are_augmented_and_by_torchs_generator_alone(pacs):
    dataset = _open("PACS", pacs, test_envs=[2], hparams=AUGMENTED)
    plain = _open("PACS", pacs, test_envs=[2], hparams=PLAIN)
    for env in range(4):
        torch.manual_seed(0)
        first, second = dataset[env][0][0], dataset[env][0][0]
        torch.manual_seed(0)
        np.random.seed(9)
        assert first.shape == (3, 224, 224)
        assert torch.equal(first, dataset[env][0][0])
        assert torch.equal(first, second) == (env == 2)
        assert torch.equal(first, plain[env][0][0]) == (env == 2)


def test_augmentation_flips_crops_recolors_and_sometimes_grays(tmp_path):
    root = write_images(tmp_path / "set", ["one", "two"], ["x", "y"], 1, size=60)
    bright = np.zeros((60, 60, 3), np.uint8)
    bright[:, :20] = 200, 80, 40
    Image.fromarray(bright).save(root / "one" / "x" / "000.png")
    domain = _open(root, tmp_path, hparams=AUGMENTED)[0]
    torch.manual_seed(0)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    shown = [domain[0][0] * std[:, None, None] + mean[:, None, None] for _ in range(300)]
    flipped = [image[0, :, -1].mean() > image[0, :, 0].mean() for image in shown]
    gray = [bool((image.max(0).values - image.min(0).values).max() < 0.02) for image in shown]
    widths = torch.stack([(image[0, 112] > 0.2).sum() / 224 for image in shown])
    brightness = torch.stack([image.max() for image in shown])
    assert 0.4 < np.mean(flipped) < 0.6
    assert 0.04 < np.mean(gray) < 0.18
    assert widths.min() < 0.2
    assert widths.max() > 0.38  # the bright part is a third of the width: a crop widens it
    assert brightness.max() > brightness.min() + 0.3


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16"])
def test_images_of_any_mode_become_rgb(mode, tmp_path):
    root = write_images(tmp_path / "set", ["one", "two"], ["x", "y"], 1, size=40)
    name = "000.tiff" if mode in ("CMYK", "I;16") else "000.png"
    (root / "one" / "x" / "000.png").unlink()
    Image.new(mode, (40, 40)).save(root / "one" / "x" / name)
    assert _open(root, tmp_path)[0][0][0].shape == (3, 224, 224)


@pytest.mark.parametrize(("size", "kept"), [(28, 28), (32, 32), (30, 224), (64, 224), (224, 224)])
def test_the_first_image_decides_the_size(size, kept, tmp_path):
    root = write_images(tmp_path / "set", ["one", "two"], ["x", "y"], 1, size=size)
    Image.new("L", (50, 40), 255).save(root / "two" / "y" / "000.png")  # another one, resized
    dataset = _open(root, tmp_path, hparams=AUGMENTED)
    assert dataset.input_shape == (3, kept, kept)
    assert dataset[1][1][0].shape == (3, kept, kept)
    if kept != 224:
        assert torch.equal(dataset[1][1][0], torch.ones(3, kept, kept))
        with Image.open(root / "one" / "x" / "000.png") as file:
            pixels = np.asarray(file, dtype=np.float64).transpose(2, 0, 1)
        for _ in range(3):  # small images are never augmented
            np.testing.assert_allclose(dataset[0][0][0], pixels / 127.5 - 1, atol=1e-6)


def test_a_folder_is_named_by_any_path(tmp_path, monkeypatch):
    write_images(tmp_path / "data" / "shapes", ["ink", "oil"], ["cup", "hat"], 1)
    write_images(tmp_path / "here" / "shapes", ["pen", "wax", "web"], ["cup", "hat"], 1)
    monkeypatch.chdir(tmp_path)
    inside = [str(tmp_path / "data" / "shapes"), "data/shapes", "shapes"]
    for name in inside:
        cls = get_dataset_class(name, "data")
        assert (cls.__name__, cls.ENVIRONMENTS) == (name, ["ink", "oil"])
        assert (cls.N_STEPS, cls.CHECKPOINT_FREQ) == (5001, 100)
        assert cls("data", [0], PLAIN)[1].samples[0][0].endswith("shapes/oil/cup/000.png")
    monkeypatch.chdir(tmp_path / "here")  # the working directory comes before the data directory
    assert environment_names("shapes", "../data") == ["pen", "wax", "web"]
    cls = get_dataset_class("shapes")
    monkeypatch.chdir(tmp_path)
    assert len(cls("data", [], PLAIN)) == 3  # what was found stays found


def test_hidden_folders_are_neither_domains_nor_classes(tmp_path):
    root = write_images(tmp_path / "set", ["one", "two", ".git"], ["x", "y", ".thumbs"], 1)
    dataset = _open(root, tmp_path)
    assert (dataset.ENVIRONMENTS, dataset.classes) == (["one", "two"], ["x", "y"])


def _refusal(name, root):
    with pytest.raises(InputError) as error:
        _open(name, root)
    text = str(error.value)
    assert len(text.splitlines()) <= 2
    return text


def test_a_missing_data_directory_is_named(tmp_path):
    text = _refusal("PACS", tmp_path / "absent")
    assert str(tmp_path / "absent" / "PACS") in text
    assert "--data_dir" in text


def test_a_missing_and_a_surplus_domain_are_named(pacs):
    (pacs / "PACS" / "photo").rename(pacs / "PACS" / "splits")
    text = _refusal("PACS", pacs)
    assert "Missing: photo. Not a domain: splits." in text
    shutil.rmtree(pacs / "PACS" / "splits")
    assert "Missing: photo. Not a domain: none." in _refusal("PACS", pacs)


def test_domains_may_go_by_other_names_with_the_same_initials(pacs):
    (pacs / "PACS" / "art_painting").rename(pacs / "PACS" / "Art")
    assert [domain.root.name for domain in _open("PACS", pacs)] == ["Art", *PACS[1:]]


def test_domains_with_different_classes_are_listed(pacs):
    write_images(pacs / "more", ["photo"], [f"extra{i}" for i in range(7)], 1)
    shutil.copytree(pacs / "more" / "photo", pacs / "PACS" / "photo", dirs_exist_ok=True)
    shutil.rmtree(pacs / "PACS" / "sketch" / "dog")
    text = _refusal("PACS", pacs)
    assert str(pacs / "PACS") in text
    assert "sketch lacks dog, extra0, extra1, extra2, extra3 and 3 more" in text
    assert "photo lacks" not in text


def test_an_empty_class_folder_is_named(pacs):
    (pacs / "PACS" / "sketch" / "dog" / "000.png").unlink()
    (pacs / "PACS" / "sketch" / "dog" / "001.png").rename(
        pacs / "PACS" / "sketch" / "dog" / "1.txt"
    )
    assert f"{pacs / 'PACS' / 'sketch' / 'dog'} holds no image" in _refusal("PACS", pacs)


@pytest.mark.parametrize("place", ["dog", "dog/more"])
def test_a_folder_that_may_not_be_read_is_named(pacs, place, monkeypatch):
    closed = pacs / "PACS" / "sketch" / place
    closed.mkdir(exist_ok=True)
    forbid_listing(monkeypatch, closed)
    assert f"cannot read the folder {closed} (Permission denied)" in _refusal("PACS", pacs)


def test_a_folder_of_classes_alone_is_refused(pacs):
    assert "has no class folders" in _refusal(pacs / "PACS" / "photo", pacs)


def test_a_single_domain_is_refused(pacs):
    for name in PACS[1:]:
        shutil.rmtree(pacs / "PACS" / name)
    assert "at least two domains are needed" in _refusal(pacs / "PACS", pacs)


@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "gone"])
def test_an_unreadable_image_is_named_when_it_is_decoded(damage, pacs):
    dataset = _open("PACS", pacs)
    path = pacs / "PACS" / "photo" / "house" / "001.png"
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        new = {"truncated": content[: len(content) // 2], "text": b"no image\n", "empty": b""}
        path.write_bytes(new[damage])
    dataset[2][2]
    with pytest.raises(InputError) as error:
        dataset[2][3]
    text = str(error.value)
    assert text.count(str(path)) == 1
    assert len(text.splitlines()) == 1


def test_a_truncated_jpeg_is_not_filled_with_gray(tmp_path):
    root = write_images(tmp_path / "set", ["one", "two"], ["x", "y"], 1, size=80)
    path = root / "one" / "x" / "000.jpg"
    with Image.open(root / "one" / "x" / "000.png") as image:
        image.save(path)
    (root / "one" / "x" / "000.png").unlink()
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(InputError, match=r"000\.jpg .*truncated"):
        _open(root, tmp_path)[0][0]


def test_an_unreadable_first_image_is_named(tmp_path):
    root = write_images(tmp_path / "set", ["one", "two"], ["x", "y"], 1)
    (root / "one" / "x" / "000.png").write_text("no image")
    assert f"cannot read the image {root / 'one' / 'x' / '000.png'}" in _refusal(root, tmp_path)
