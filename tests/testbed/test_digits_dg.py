"""DigitsDG: what is in its four domains, the file, and its export as image folders."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ndcl_domainbed.testbed.datasets import get_dataset_class
from ndcl_domainbed.testbed.datasets.digits import cache
from ndcl_domainbed.testbed.datasets.images.export import export_folders
from tests.command_line import call

HPARAMS = {"data_augmentation": True}
DOMAINS = ["MNIST", "MNIST-M", "OPT", "SYN"]


@pytest.fixture(scope="module")
def data_dir(digits_root):
    return digits_root


@pytest.fixture(scope="module")
def domains(data_dir):
    return cache.load(data_dir)


@pytest.fixture(scope="module")
def dataset(data_dir):
    return get_dataset_class("DigitsDG")(str(data_dir), [0], HPARAMS)


def test_the_data_card_has_the_checksums_and_counts(domains):
    card = Path(__file__).parents[2].joinpath("docs", "digits_dg.md").read_text(encoding="utf-8")
    for name, (_, labels) in domains.items():
        assert f"| {name} | `{cache.CHECKSUMS[name]}` |" in card
        counts = " | ".join(str(n) for n in np.bincount(labels))
        assert f"| {name} | {counts} | {len(labels):,} |" in card


def test_the_images_are_the_same_everywhere_and_sorted_by_digit(domains):
    assert list(domains) == DOMAINS
    for name, (images, labels) in domains.items():
        assert cache.checksum(images, labels) == cache.CHECKSUMS[name]
        assert (np.diff(labels) >= 0).all()


def test_the_dataset_keeps_the_contract(dataset, domains):
    assert dataset.input_shape == (3, 28, 28)
    assert (len(dataset), dataset.num_classes) == (4, 10)
    assert dataset.ENVIRONMENTS == DOMAINS
    assert dataset.classes == list("0123456789")
    for domain, (images, labels) in zip(dataset, domains.values(), strict=True):
        pixels, targets = domain.tensors
        assert (pixels.dtype, targets.dtype) == (torch.float32, torch.int64)
        assert pixels.is_contiguous()
        assert domain.targets == targets.tolist() == labels.tolist()
        assert all(type(label) is int for label in domain.targets[:3])
        expected = images.transpose(0, 3, 1, 2) / 127.5 - 1
        np.testing.assert_allclose(pixels.numpy(), expected, atol=1e-6)


def test_a_lossless_export_is_the_same_dataset(dataset, data_dir, tmp_path):
    output = tmp_path / "deep" / "digits"
    outcome = call("export_dataset", "DigitsDG", "--data_dir", data_dir, "--output", output)
    assert (outcome.status, outcome.err) == (0, "")
    assert "9,297 images" in outcome.out
    folders = get_dataset_class(str(output))("", [0], HPARAMS)
    assert folders.ENVIRONMENTS == DOMAINS
    assert (folders.classes, folders.input_shape) == (dataset.classes, dataset.input_shape)
    for domain, memory in zip(folders, dataset, strict=True):
        assert domain.targets == memory.targets
        assert all(torch.equal(domain[i][0], memory[i][0]) for i in range(0, len(domain), 31))
    again = call("export_dataset", "DigitsDG", "--data_dir", data_dir, "--output", output)
    assert again.status == 2
    assert f"{output} exists already" in again.err


def test_a_jpeg_export_has_the_same_images_nearly(dataset, tmp_path):
    few = {"one": (np.zeros((3, 28, 28, 3), np.uint8) + 99, np.array([0, 1, 1]))}
    export_folders(few, ["x", "y"], tmp_path / "digits", "jpeg")
    paths = sorted((tmp_path / "digits").rglob("*.jpg"))
    names = [str(path.relative_to(tmp_path / "digits")) for path in paths]
    assert names == ["one/x/00000.jpg", "one/y/00000.jpg", "one/y/00001.jpg"]
    with Image.open(paths[0]) as image:
        assert image.format == "JPEG"
        assert abs(np.asarray(image).astype(int) - 99).max() < 3


def test_the_picture_shows_every_domain_and_digit(data_dir, tmp_path):
    path = tmp_path / "picture.png"
    flags = ["--data_dir", data_dir, "--picture", path]
    assert call("export_dataset", "DigitsDG", *flags).status == 0
    with Image.open(path) as image:
        assert image.width > 10 * 2 * 28 * 2
        assert image.height > 4 * 3 * 28 * 2
        assert len(image.getcolors(maxcolors=1 << 20)) > 1000
    wrong = call("export_dataset", "DigitsDG", "--data_dir", data_dir, "--picture", "a.nonsense")
    assert wrong.status == 2
    assert wrong.err.startswith("error: cannot write a.nonsense (")
