"""The images of a dataset in one list, as a frozen network sees them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from imbalance_splits.errors import InputError
from imbalance_splits.labels import class_names


@dataclass(frozen=True)
class ImageList:
    """N images, the domains one after the other.

    ``folders``: the folder of each domain, None for one that has none; ``files``: names relative
    to it, (N,) strings; ``labels`` and ``domains``: class and domain of each image, int64 (N,);
    ``load(i)`` decodes image i to RGB; ``digest(i)``: a digest of the file's content (or of the
    pixels), 32 hexadecimal digits; ``stats``: size in bytes and modification time in ns, int64
    (N, 2), or for images in no file the number of bytes and the first 48 bits of ``digest``;
    ``in_files``: whether each is in a file.
    """

    dataset: str
    environments: list[str]
    classes: list[str]
    folders: list[Path | None]
    files: np.ndarray
    labels: np.ndarray
    domains: np.ndarray
    stats: np.ndarray
    load: Callable[[int], Image.Image]
    digest: Callable[[int], str]
    in_files: bool

    def __len__(self) -> int:
        return len(self.labels)


def list_images(dataset_class: Any, data_dir: str, hparams: Any) -> ImageList:
    """Return the images of a dataset; none is decoded.

    A domain is a torch dataset with ``samples`` and a ``loader``, as torchvision's ImageFolder, or
    the dataset has its ``pixels``, as DigitsDG. Raises InputError for a dataset of tensors, and
    if images are missing.
    """
    count = len(dataset_class.ENVIRONMENTS)
    unseen = hparams_to_list(dataset_class, hparams)
    dataset = dataset_class(data_dir, list(range(count)), unseen)
    domains = [dataset[env] for env in range(count)]
    if all(hasattr(domain, "samples") for domain in domains):
        return _from_files(dataset, domains)
    try:
        classes, pixels = dataset_class.pixels(data_dir)
    except (InputError, AttributeError):
        raise InputError(
            f"{dataset_class.__name__} has no image files, so a frozen network has nothing to "
            "see: leave out the hyper-parameter frozen."
        ) from None
    return _from_pixels(dataset_class, classes, list(pixels.values()))


def hparams_to_list(dataset_class: Any, hparams: Any) -> dict[str, Any]:
    """Return ``hparams`` for a dataset whose images are only listed.

    No image is transformed, so timm is not asked for a transform.
    """
    size = getattr(dataset_class, "IMAGE_SIZE", None)
    more = {} if size is None else {"image_size": size}
    return {**hparams, "backbone": "auto", "frozen": False, **more}


def _from_files(dataset: Any, domains: Sequence[Any]) -> ImageList:
    samples = [(str(path), int(label)) for domain in domains for path, label in domain.samples]
    paths = [path for path, _ in samples]
    domain_of = np.repeat(np.arange(len(domains)), [len(domain.samples) for domain in domains])
    roots = [getattr(domain, "root", None) for domain in domains]
    folders = [Path(root) if root else None for root in roots]
    files = [_relative(path, folders[d]) for path, d in zip(paths, domain_of, strict=True)]
    return ImageList(
        dataset=type(dataset).__name__,
        environments=list(dataset.ENVIRONMENTS),
        classes=[str(name) for name in class_names(dataset)],
        folders=folders,
        files=np.array(files),
        labels=np.array([label for _, label in samples], dtype=np.int64),
        domains=domain_of.astype(np.int64),
        stats=np.array([stat_file(path) for path in paths], dtype=np.int64).reshape(-1, 2),
        load=lambda i: _load(domains[domain_of[i]], paths[i]),
        digest=lambda i: _digest_of_file(paths[i]),
        in_files=True,
    )


def _from_pixels(
    dataset_class: Any, classes: list[str], domains: Sequence[tuple[np.ndarray, np.ndarray]]
) -> ImageList:
    images = [image for pixels, _ in domains for image in pixels]
    sizes = [len(labels) for _, labels in domains]
    return ImageList(
        dataset=dataset_class.__name__,
        environments=list(dataset_class.ENVIRONMENTS),
        classes=list(classes),
        folders=[None] * len(domains),
        files=np.array([f"{i:06}" for size in sizes for i in range(size)]),
        labels=np.concatenate([labels for _, labels in domains]).astype(np.int64),
        domains=np.repeat(np.arange(len(domains)), sizes).astype(np.int64),
        stats=np.array([(image.size, int(_digest(image)[:12], 16)) for image in images]),
        load=lambda i: Image.fromarray(images[i]),
        digest=lambda i: _digest(images[i]),
        in_files=False,
    )


def _load(domain: Any, path: str) -> Image.Image:
    """Decode an image with the domain's own loader. Raises InputError, with the path."""
    try:
        return domain.loader(path)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(
            f"cannot read the image {path} ({error}). Replace or delete the file."
        ) from error


def _relative(path: str, folder: Path | None) -> str:
    return path if folder is None else path.removeprefix(f"{folder}/")


def stat_file(path: str) -> tuple[int, int]:
    """Return size in bytes and time of change in ns of a file. Raises InputError if it is gone."""
    try:
        stat = os.stat(path)  # noqa: PTH116 - five times as fast as Path for many files
    except OSError as error:
        raise InputError(f"cannot read the image {path} ({error.strerror}).") from error
    return stat.st_size, stat.st_mtime_ns


def _digest_of_file(path: str) -> str:
    try:
        return _digest(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"cannot read the image {path} ({error.strerror}).") from error


def _digest(content: bytes | np.ndarray) -> str:
    data = content.tobytes() if isinstance(content, np.ndarray) else content
    return hashlib.blake2b(data, digest_size=16).hexdigest()
