"""From pixels to the tensors that networks see.

Large images (224 x 224) are treated as in DomainBed (Gulrajani and Lopez-Paz, 2021). Small ones
(28 x 28 or 32 x 32) keep their size, are never augmented, and are scaled to [-1, 1]. Random
transforms draw from torch's global generator only.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import functional

from ndcl_domainbed.testbed.datasets.images.reading import LARGE

Transform = Callable[[Image.Image], torch.Tensor]

_IMAGENET = transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])


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


def plain(size: int) -> Transform:
    """Return the transform for evaluation, and for training without augmentation."""
    if size != LARGE:
        return SmallImage(size)
    resize = transforms.Resize((size, size))
    return transforms.Compose([resize, transforms.ToTensor(), _IMAGENET])


def augmenting(size: int) -> Transform:
    """Return the transform for augmented training; small images are not augmented."""
    if size != LARGE:
        return SmallImage(size)
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(size, scale=(0.7, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.ColorJitter(0.3, 0.3, 0.3, 0.3),
            transforms.RandomGrayscale(0.1),
            transforms.ToTensor(),
            _IMAGENET,
        ]
    )
