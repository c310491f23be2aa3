"""Writes small real image files, as domain/class/image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def write_images(
    root: Path, domains: Sequence[str], classes: Sequence[str], per_class: int, size: int = 28
) -> Path:
    """Write ``per_class`` PNG images of ``size`` pixels for every domain and class."""
    rng = np.random.RandomState(0)
    for domain in domains:
        for label, name in enumerate(classes):
            folder = root / domain / name
            folder.mkdir(parents=True)
            for index in range(per_class):
                pixels = rng.randint(0, 80, size=(size, size, 3), dtype=np.uint8)
                pixels[:, :, label % 3] += 120
                Image.fromarray(pixels).save(folder / f"{index:03}.png")
    return root
