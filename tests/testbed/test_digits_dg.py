"""DigitsDG: what is in its four domains, the file, and its export as image folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ndcl_domainbed.testbed.datasets import get_dataset_class
from ndcl_domainbed.testbed.datasets.digits import cache, handwritten, sources
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


@pytest.mark.parametrize("name", DOMAINS)
def test_the_images_are_the_same_each_time_and_everywhere(name, domains):
    np.random.seed(len(name))  # the global generator has no say
    assert cache.checksum(*cache.MAKERS[name]()) == cache.CHECKSUMS[name]
    assert cache.checksum(*domains[name]) == cache.CHECKSUMS[name]


def test_every_domain_has_its_images_of_every_digit(domains):
    assert list(domains) == DOMAINS
    for name, (images, labels) in domains.items():
        counts = np.bincount(labels)
        optical = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
        assert counts.tolist() == (optical if name == "OPT" else [250] * 10)
        assert (np.diff(labels) >= 0).all()  # by digit, as a folder would be
        assert images.shape == (len(labels), 28, 28, 3)
        assert images.dtype == np.uint8
        assert len({image.tobytes() for image in images}) > 0.99 * len(images)


def test_mnist_and_mnist_m_share_no_digit(domains):
    pixels, labels = sources.mnist()
    first, second = handwritten.halves(labels)
    assert sorted([*first, *second]) == list(range(5000))
    np.testing.assert_array_equal(domains["MNIST"][0], pixels[first][..., None].repeat(3, -1))
    np.testing.assert_array_equal(domains["MNIST"][1], labels[first])
    np.testing.assert_array_equal(domains["MNIST-M"][1], labels[second])


def test_mnist_m_is_a_photograph_where_the_digit_is_black(domains):
    """|patch - digit| is the patch there, and its complement where the digit is white."""
    pixels, labels = sources.mnist()
    digits = pixels[handwritten.halves(labels)[1]]
    patches = handwritten._patches(sources.photographs(), len(digits))
    blended = domains["MNIST-M"][0]
    np.testing.assert_array_equal(blended[digits == 0], patches[digits == 0])
    np.testing.assert_array_equal(blended[digits == 255], 255 - patches[digits == 255])


def test_the_optical_digits_are_interpolated_between_pixel_centres(domains):
    levels, labels = sources.optical()
    images = domains["OPT"][0]
    order = np.argsort(labels, kind="stable")
    old, new = np.arange(8) + 0.5, (np.arange(28) + 0.5) * 8 / 28
    for place in (0, 700, 1796):
        image = levels[order[place]]
        rows = np.stack([np.interp(new, old, column) for column in image.T], axis=1)
        both = np.stack([np.interp(new, old, row) for row in rows])
        np.testing.assert_allclose(images[place, :, :, 1], both * 255 / 16, atol=0.5 + 1e-9)


def test_the_domains_differ_and_the_printed_digits_can_be_seen(domains):
    gray = {name: images.astype(float).mean(axis=-1) for name, (images, _) in domains.items()}
    assert all((images[..., 0] == images[..., 2]).all() for images in
               (domains["MNIST"][0], domains["OPT"][0]))  # fmt: skip
    assert (domains["MNIST-M"][0].std(axis=-1).mean(axis=(1, 2)) > 2).mean() > 0.8
    assert (domains["SYN"][0].std(axis=-1).mean(axis=(1, 2)) > 2).mean() > 0.8
    dark_edge = {name: (images[:, 0] < 20).mean() for name, images in gray.items()}
    assert dark_edge["MNIST"] > 0.99
    assert dark_edge["SYN"] < 0.5
    middle = gray["SYN"][:, 7:21, 7:21].reshape(len(gray["SYN"]), -1)
    assert np.percentile(np.ptp(middle, axis=1), 1) > 50  # ink and background are apart


def test_the_data_set_keeps_the_contract(dataset, domains):
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


def test_a_lossless_export_is_the_same_data_set(dataset, data_dir, tmp_path):
    output = tmp_path / "deep" / "digits"
    outcome = call("export_dataset", "DigitsDG", "--data_dir", data_dir, "--output", output)
    assert (outcome.status, outcome.err) == (0, "")
    assert "9,297 images" in outcome.out
    folders = get_dataset_class(str(output))("", [0], HPARAMS)
    assert folders.ENVIRONMENTS == DOMAINS
    assert (folders.classes, folders.input_shape) == (dataset.classes, dataset.input_shape)
    for domain, memory in zip(folders, dataset, strict=True):
        assert domain.targets == memory.targets
        assert all(torch.equal(domain[i][0], memory[i][0]) for i in range(0, len(domain), 7))
    again = call("export_dataset", "DigitsDG", "--data_dir", data_dir, "--output", output)
    assert again.status == 2
    assert f"{output} exists already" in again.err


def test_a_jpeg_export_is_nearly_the_same_data_set(dataset, data_dir, tmp_path):
    (tmp_path / "digits").mkdir()  # an empty folder may be there
    flags = ["--data_dir", data_dir, "--output", tmp_path / "digits", "--format", "jpeg"]
    assert call("export_dataset", "DigitsDG", *flags).status == 0
    folders = get_dataset_class("digits", str(tmp_path))(str(tmp_path), [0], HPARAMS)
    for domain, memory in zip(folders, dataset, strict=True):
        assert domain.targets == memory.targets
        path = domain.samples[-1][0]
        with Image.open(path) as image:
            assert image.format == "JPEG"
        gaps = [(domain[i][0] - memory[i][0]).abs().mean() for i in range(0, len(domain), 60)]
        assert 0 < max(gaps) < 0.1


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
