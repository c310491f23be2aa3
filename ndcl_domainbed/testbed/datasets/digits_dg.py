"""DigitsDG: four domains of digits, made from images and fonts that Python packages ship."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ndcl_domainbed.testbed.datasets.base import SCALED_TO_ONE, MultiDomainDataset, preprocessing
from ndcl_domainbed.testbed.datasets.digits import Images


class DigitsDG(MultiDomainDataset):
    """Digits 0 to 9 as 28 x 28 color images in four domains.

    MNIST: handwritten, white on black. MNIST-M: other digits of MNIST, blended with
    photographs. OPT: the UCI optical digits, enlarged from 8 x 8. SYN: printed, tinted and
    cluttered. The pixels are kept in memory as float32 in [-1, 1] and never augmented.
    """

    ENVIRONMENTS: ClassVar[list[str]] = ["MNIST", "MNIST-M", "OPT", "SYN"]
    N_STEPS: ClassVar[int] = 301
    CHECKPOINT_FREQ: ClassVar[int] = 50
    N_WORKERS: ClassVar[int] = 0
    IMAGE_SIZE: ClassVar[int] = 28

    def __init__(self, root: str, test_envs: Sequence[int], hparams: Mapping[str, Any]) -> None:
        """Read the images from the file below ``root``; the first time, make it.

        Raises InputError for another image size.
        """
        import torch
        from torch.utils.data import TensorDataset

        from ndcl_domainbed.testbed.datasets.images.transforms import scale_pixels

        super().__init__(root, test_envs, hparams)
        self.classes, domains = self.pixels(root)
        self.num_classes = len(self.classes)
        self.preprocessing = preprocessing(self.IMAGE_SIZE, *SCALED_TO_ONE)
        self.datasets = []
        for images, labels in domains.values():
            planes = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
            domain: Any = TensorDataset(scale_pixels(planes), torch.from_numpy(labels))
            domain.targets = labels.tolist()
            self.datasets.append(domain)

    @classmethod
    def pixels(cls, root: str) -> tuple[list[str], dict[str, Images]]:
        """Return the digits' names, and the images and labels of every domain."""
        from ndcl_domainbed.testbed.datasets.digits import cache

        return [str(digit) for digit in range(10)], cache.load(root)
