"""From pixels to the tensors that networks see.

Large images (224 x 224) are treated as in DomainBed (Gulrajani and Lopez-Paz, 2021). Small ones
(28 x 28 or 32 x 32) keep their size, are never augmented, and are scaled to [-1, 1]. Random
transforms draw from torch's global generator only. Those of :mod:`~.jitter` and :class:`Normalized`
are torchvision's, to the last bit, in less time: a fast accelerator waits for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import functional

from ndcl_domainbed.testbed.datasets.images.jitter import ColorJitter
from ndcl_domainbed.testbed.datasets.images.reading import LARGE

Transform = Callable[[Image.Image], torch.Tensor]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


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


def plain(size: int) -> Transform:
    """Return the transform for evaluation, and for training without augmentation."""
    if size != LARGE:
        return SmallImage(size)
    resize = transforms.Resize((size, size))
    return transforms.Compose([resize, Normalized(IMAGENET_MEAN, IMAGENET_STD)])


def augmenting(size: int) -> Transform:
    """Return the transform for augmented training; small images are not augmented."""
    if size != LARGE:
        return SmallImage(size)
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(size, scale=(0.7, 1.0)),
            transforms.RandomHorizontalFlip(),
            ColorJitter(0.3, 0.3, 0.3, 0.3),
            transforms.RandomGrayscale(0.1),
            Normalized(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
