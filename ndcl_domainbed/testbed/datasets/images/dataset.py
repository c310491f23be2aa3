"""What datasets of image files share, whatever names the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ndcl_domainbed.testbed.datasets.base import SCALED_TO_ONE, MultiDomainDataset, preprocessing
from ndcl_domainbed.testbed.datasets.images.folders import Samples
from ndcl_domainbed.testbed.datasets.images.reading import SMALL_SIZES

Found = list[tuple[Path | None, Samples]]
"""Of each domain its folder, if it has one, and its images."""


class ImageFileDataset(MultiDomainDataset):
    """Images in files, decoded when they are asked for.

    Small images keep the size of the class and are not augmented, unless ``hparams`` ask for
    another ``image_size``; all others are treated as large images, with the normalization that
    the network was trained with.
    """

    RESIZES: ClassVar[bool] = True

    def __init__(self, root: str, test_envs: Sequence[int], hparams: Mapping[str, Any]) -> None:
        """List the images; none is decoded. Raises InputError if some are missing."""
        from ndcl_domainbed.testbed.datasets.images import transforms
        from ndcl_domainbed.testbed.datasets.images.files import ImageFiles
        from ndcl_domainbed.testbed.networks.normalization import normalization_of

        super().__init__(root, test_envs, hparams)
        size = self.input_shape[1]
        small = size == self.IMAGE_SIZE and size in SMALL_SIZES
        plain, augmenting = transforms.image_transforms(hparams, size, small=small)
        channels = SCALED_TO_ONE if small else normalization_of(hparams)
        self.preprocessing = preprocessing(size, *channels)
        self.classes, found = self.find_images(root)
        self.num_classes = len(self.classes)
        self.datasets = []
        for index, (folder, samples) in enumerate(found):
            augment = hparams["data_augmentation"] and index not in test_envs
            transform = augmenting if augment else plain
            self.datasets.append(ImageFiles(samples, self.classes, transform, folder))

    def find_images(self, root: str) -> tuple[list[str], Found]:
        """Return the classes, sorted, and the images of the domains in environment order."""
        raise NotImplementedError
