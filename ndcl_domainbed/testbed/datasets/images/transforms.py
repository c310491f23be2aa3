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


class SmallImage:
    """Scale an image to [-1, 1], having resized it if it is not ``size`` x ``size``."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """Return an RGB image as a float32 tensor (3, size, size)."""
        if image.size != (self.size, self.size):
            image = image.resize((self.size, self.size), Image.Resampling.BILINEAR)
        return scale_pixels(functional.pil_to_tensor(image))


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


def plain(
    size: int, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD, *, small: bool = False
) -> Transform:
    """Return the transform for evaluation, and for training without augmentation.

    ``size`` is height and width of the result; ``mean`` and ``std`` are the network's; ``small``
    images keep their size and are scaled to [-1, 1].
    """
    return _compose([transforms.Resize((size, size))], size, mean, std, small)


def crop_flip(
    size: int, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD, *, small: bool = False
) -> Transform:
    """Return an augmentation: a crop of 70 to 100 % of the area, flipped or not.

    Small images are not augmented.
    """
    return _compose(_crop_and_flip(size), size, mean, std, small)


def augmenting(
    size: int, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD, *, small: bool = False
) -> Transform:
    """Return DomainBed's augmentation: crop and flip, then color jitter and grayscale.

    Small images are not augmented.
    """
    color = [ColorJitter(0.3, 0.3, 0.3, 0.3), transforms.RandomGrayscale(0.1)]
    return _compose([*_crop_and_flip(size), *color], size, mean, std, small)


def _compose(steps: list[Any], size: int, mean: Channels, std: Channels, small: bool) -> Transform:
    """Return the ``steps`` and the normalization; a small image goes through neither."""
    return SmallImage(size) if small else transforms.Compose([*steps, Normalized(mean, std)])


def _crop_and_flip(size: int) -> list[Any]:
    crop = transforms.RandomResizedCrop(size, scale=(0.7, 1.0))
    return [crop, transforms.RandomHorizontalFlip()]


AUGMENTATIONS = {"domainbed": augmenting, "crop_flip": crop_flip}
"""What the hyper-parameter ``view_augmentation`` names."""


def image_transforms(
    hparams: Mapping[str, Any], size: int, *, small: bool = False, augmentation: str = "domainbed"
) -> tuple[Transform, Transform]:
    """Return the plain and the augmenting transform for the network that ``hparams`` ask for.

    Raises InputError for an unknown ``augmentation`` and an unknown network of timm.
    """
    if augmentation not in AUGMENTATIONS:
        raise unknown_name("augmentation", augmentation, AUGMENTATIONS)
    mean, std = normalization_of(hparams)
    augmented = AUGMENTATIONS[augmentation](size, mean, std, small=small)
    return plain(size, mean, std, small=small), augmented


def view_transforms(hparams: Mapping[str, Any]) -> tuple[Transform, Transform]:
    """Return the transforms that make the plain and the augmented views for frozen features.

    ``hparams`` give ``image_size``, ``backbone`` and ``view_augmentation``. Raises InputError as
    :func:`image_transforms` does.
    """
    size, name = int(hparams["image_size"]), str(hparams["view_augmentation"])
    return image_transforms(hparams, size, small=False, augmentation=name)
