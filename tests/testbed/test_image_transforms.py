"""Transforms of large images are torchvision's, bit for bit: any color, shift and seed."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as torchvision_transforms
from torchvision.transforms import functional

from ndcl_domainbed.testbed.datasets.images import jitter, transforms
from ndcl_domainbed.testbed.datasets.images.hue import shift_hue

SIDE = 512
SCALED = (
    torchvision_transforms.ToTensor(),
    torchvision_transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
)


def _colors(first):
    """An image of SIDE x SIDE colors from the number ``first`` on."""
    number = np.arange(first, first + SIDE * SIDE, dtype=np.int64)
    channels = [number >> shift & 255 for shift in (0, 8, 16)]
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8).reshape(SIDE, SIDE, 3))


def _photograph(seed, size=(227, 190)):
    rng = np.random.RandomState(seed)
    coarse = Image.fromarray(rng.randint(0, 256, (9, 11, 3), dtype=np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC)


def test_the_hue_of_many_colors_is_shifted_as_torchvision_does():
    turn = -0.117
    for first in range(0, 256**3, 7 * SIDE * SIDE):
        image = _colors(first)
        expected = np.asarray(functional.adjust_hue(image, turn))
        assert np.array_equal(np.asarray(shift_hue(image, int(turn * 255))), expected), first


def test_shifts_of_random_colors():
    rng = np.random.RandomState(0)
    for shift in range(0, 256, 5):
        pixels = rng.randint(0, 256, (64, 128, 3), dtype=np.uint8)
        pixels[:9] //= 64  # nearly black
        pixels[9:18, :, 1] = pixels[9:18, :, 0]  # two channels alike
        image = Image.fromarray(pixels)
        hsv = np.array(image.convert("HSV"))
        hsv[..., 0] += np.uint8(shift)
        expected = np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))
        assert np.array_equal(np.asarray(shift_hue(image, shift)), expected), shift
        assert np.array_equal(np.asarray(shift_hue(image, shift - 256)), expected), shift


def test_training_and_evaluation_see_what_torchvisions_transforms_give():
    augmenting = torchvision_transforms.Compose(
        [
            torchvision_transforms.RandomResizedCrop(224, scale=(0.7, 1.0)),
            torchvision_transforms.RandomHorizontalFlip(),
            torchvision_transforms.ColorJitter(0.3, 0.3, 0.3, 0.3),
            torchvision_transforms.RandomGrayscale(0.1),
            *SCALED,
        ]
    )
    plain = torchvision_transforms.Compose([torchvision_transforms.Resize((224, 224)), *SCALED])
    for seed in range(12):
        image = _photograph(seed)
        torch.manual_seed(seed)
        expected, state = augmenting(image), torch.get_rng_state()
        torch.manual_seed(seed)
        assert transforms.augmenting(224)(image).equal(expected), seed
        assert torch.get_rng_state().equal(state)
        assert transforms.plain(224)(image).equal(plain(image))


@pytest.mark.parametrize("factor", [0.0, 0.7, 1.0, 1.3, 4.0])
def test_brightness_and_contrast_are_torchvisions(factor):
    flat = Image.new("RGB", (5, 3), (255, 0, 128))
    for image in (flat, *map(_photograph, range(4))):
        for name in ("adjust_brightness", "adjust_contrast"):
            expected = np.asarray(getattr(functional, name)(image, factor))
            assert np.array_equal(np.asarray(getattr(jitter, name)(image, factor)), expected)
