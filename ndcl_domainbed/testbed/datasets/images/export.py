"""Writing a dataset as image folders."""

from __future__ import annotations

import shutil
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from imbalance_splits.errors import InputError

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "png": (".png", {}),
    "jpeg": (".jpg", {"quality": 95, "subsampling": 0}),
}
"""File name suffix and Pillow's options; PNG keeps every pixel, JPEG does not."""

Domains = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Images (n, H, W, 3) uint8 and labels (n,) by domain."""


def export_folders(domains: Domains, classes: Sequence[str], output: Path, image: str) -> None:
    """Write ``output/domain/class/number``, in the format ``image`` of :data:`FORMATS`.

    The numbers keep the order of a class's images. The folder appears whole or not at all.
    Raises InputError if it exists and is not empty, or cannot be written.
    """
    output = output.absolute()
    aside = output.with_name(f".{output.name}.{uuid.uuid4().hex}")
    try:
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise InputError(f"{output} exists already; name a new folder, or empty this one.")
        try:
            for name, (images, labels) in domains.items():
                _write_domain(aside / name, images, labels, classes, image)
            aside.replace(output)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise InputError(f"cannot write {output} ({error.strerror}).") from error


def _write_domain(
    folder: Path, images: np.ndarray, labels: np.ndarray, classes: Sequence[str], image: str
) -> None:
    suffix, options = FORMATS[image]
    for name in classes:
        (folder / name).mkdir(parents=True)
    written: Counter[str] = Counter()
    for pixels, label in zip(images, labels, strict=True):
        name = classes[label]
        path = folder / name / f"{written[name]:05}{suffix}"
        Image.fromarray(pixels).save(path, **options)
        written[name] += 1
