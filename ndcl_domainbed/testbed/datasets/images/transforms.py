"""From pixels to the tensors that networks see.

Large images are treated as in DomainBed (Gulrajani and Lopez-Paz, 2021) at any size (there it is
224 x 224), and normalized as the network expects. Small ones (28 x 28 or 32 x 32) keep their size,
are never augmented, and are scaled to [-1, 1]. Random transforms draw from torch's global
generator only. Those of :mod:`~.jitter` and :class:`Normalized`
are torchvision's, to the last bit, in less time: a fast accelerator waits for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import functional

from imbalance_splits.errors import unknown_name
from ndcl_domainbed.testbed.datasets.images.jitter import ColorJitter
from ndcl_domainbed.testbed.networks.normalization import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Channels,
    normalization_of,
)

Transform = Callable[[Image.Image], torch.Tensor]


def scale_pixels(pixels: torch.Tensor) -> torch.Tensor:
    """Map uint8 pixels to float32 in [-1, 1]: (x / 255 - 0.5) / 0.5."""
    return pixels.float().div_(255).sub_(0.5).div_(0.5)


class Normalized:
    """torchvision's ToTensor and Normalize in one: each of the 256 values is looked up."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        """Take the means and standard deviations of the channels, of values in [0, 1]."""
        values = torch.arange(256, dtype=torch.uint8).expand(len(mean), 1, 256)
        scaled = functional.normalize(values / 255, list(mean), list(std))
        self._tables = list(scaled[:, 0].numpy())

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """Return an image of height H and width W as a float32 tensor (C, H, W)."""
        pixels = np.asarray(image)
        out = np.empty((len(self._tables), *pixels.shape[:2]), np.float32)
        for channel, table in enumerate(self._tables):
            table.take(pixels[..., channel], out=out[channel], mode="clip")  # never out of range
        return torch.from_numpy(out)


def plain(size: int, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD) -> Transform:
    """Return the transform for evaluation, and for training without augmentation.

    ``size`` is height and width of the result; ``mean`` and ``std`` are the network's.
    """
    return transforms.Compose([transforms.Resize((size, size)), Normalized(mean, std)])


def crop_flip(size: int, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD) -> Transform:
    """Return an augmentation: a crop of 70 to 100 % of the area, flipped or not."""
    return transforms.Compose([*_crop_and_flip(size), Normalized(mean, std)])


def augmenting(
    size: int, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD
) -> Transform:
    """Return DomainBed's augmentation: crop and flip, then color jitter and grayscale."""
    color = [ColorJitter(0.3, 0.3, 0.3, 0.3), transforms.RandomGrayscale(0.1)]
    return transforms.Compose([*_crop_and_flip(size), *color, Normalized(mean, std)])


def _crop_and_flip(size: int) -> list[Any]:
    crop = transforms.RandomResizedCrop(size, scale=(0.7, 1.0))
    return [crop, transforms.RandomHorizontalFlip()]


AUGMENTATIONS = {"domainbed": augmenting, "crop_flip": crop_flip}
"""What the hyper-parameter ``view_augmentation`` names."""


def image_transforms(
    hparams: Mapping[str, Any], size: int, *, small: bool = False, augmentation: str = "domainbed"
) -> tuple[Transform, Transform]:
    """Return the plain and the augmenting transform for the network that ``hparams`` ask for.

    ``small`` images are not augmented, and scaled to [-1, 1] whatever the network. Raises
    InputError for an unknown ``augmentation`` and an unknown network of timm.
    """
    if augmentation not in AUGMENTATIONS:
        raise unknown_name("augmentation", augmentation, AUGMENTATIONS)
    if small:
        steps = [transforms.Resize((size, size)), transforms.PILToTensor(), scale_pixels]
        return (transforms.Compose(steps),) * 2
    mean, std = normalization_of(hparams)
    return plain(size, mean, std), AUGMENTATIONS[augmentation](size, mean, std)


def view_transforms(hparams: Mapping[str, Any]) -> tuple[Transform, Transform]:
    """Return the transforms that make the plain and the augmented views for frozen features.

    ``hparams`` give ``image_size``, ``backbone`` and ``view_augmentation``. Raises InputError as
    :func:`image_transforms` does.
    """
    size, name = int(hparams["image_size"]), str(hparams["view_augmentation"])
    return image_transforms(hparams, size, augmentation=name)
