"""Random images, to exercise every algorithm without data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ndcl_domainbed.testbed.datasets.base import MultiDomainDataset


class RandomImages(MultiDomainDataset):
    """Domains of 16 images of standard normal noise, of two classes in turn.

    The images are the same each time: each domain has a generator seeded with its index.
    """

    N_WORKERS: ClassVar[int] = 0

    def __init__(self, root: str, test_envs: Sequence[int], hparams: Mapping[str, Any]) -> None:
        """Draw the images; ``root`` does not matter. Raises InputError for another image size."""
        import torch
        from torch.utils.data import TensorDataset

        super().__init__(root, test_envs, hparams)
        self.num_classes = 2
        self.classes = ["0", "1"]
        self.datasets = []
        for index in range(len(self.ENVIRONMENTS)):
            generator = torch.Generator().manual_seed(index)
            images = torch.randn(16, *self.input_shape, generator=generator)
            labels = torch.arange(16) % 2
            domain: Any = TensorDataset(images, labels)
            domain.targets = labels.tolist()
            self.datasets.append(domain)


class Debug28(RandomImages):
    """Random images of 28 x 28 pixels."""

    ENVIRONMENTS: ClassVar[list[str]] = ["0", "1", "2"]
    IMAGE_SIZE: ClassVar[int] = 28


class Debug224(RandomImages):
    """Random images of 224 x 224 pixels."""

    ENVIRONMENTS: ClassVar[list[str]] = ["0", "1", "2"]
    IMAGE_SIZE: ClassVar[int] = 224
