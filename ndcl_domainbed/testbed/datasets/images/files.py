"""Image files as a torch dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import Dataset

from ndcl_domainbed.testbed.datasets.images.transforms import Transform


class ImageFiles(Dataset[tuple[torch.Tensor, int]]):
    """The images of one domain; an image is decoded and transformed when it is asked for.

    ``samples``, ``targets``, ``classes``, ``loader`` and ``transform`` are those of torchvision's
    ImageFolder; ``root`` is the domain's folder, None if the files come from a list.
    """

    def __init__(
        self,
        samples: Sequence[tuple[str, int]],
        classes: Sequence[str],
        transform: Transform,
        loader: Callable[[str], Image.Image],
        root: Path | None = None,
    ) -> None:
        self.samples = list(samples)
        self.targets = [label for _, label in samples]
        self.classes = list(classes)
        self.loader = loader
        self.transform: Callable[..., torch.Tensor] = transform
        self.root = root

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """Return an image and its label. Raises InputError if the file cannot be decoded."""
        path, label = self.samples[index]
        return self.transform(self.loader(path)), label

    def __len__(self) -> int:
        return len(self.samples)
