"""Decoded images on disk, mapped into memory and shared by all runs that use the same folder.

A domain has one file: the RGB bytes of its images one after the other, then where each begins and
its size. A run that finds a valid file maps it; the first one builds it, the others wait. The file
belongs to a list of image files, their sizes and times of change, and a version of the decoder: if
any of these is another one now, it is built anew.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, features

from imbalance_splits.errors import InputError
from imbalance_splits.whole_files import whole_file
from ndcl_domainbed.testbed.datasets.images.reading import image_size, read_rgb
from ndcl_domainbed.training import output
from ndcl_domainbed.training.files import writing
from ndcl_domainbed.training.locks import locked

_FORMAT = b"RGB 1\n"
_FOOTER = struct.Struct("<6s32sqq")
"""The format, the stamp of what the images were decoded from, their number, where the index is."""

Result = TypeVar("Result")

_AT_ONCE = 256
"""How many decoded images wait to be written."""


class DecodedImages:
    """The decoded images of a file, by the path of the image that they were decoded from.

    An instance takes the place of the ``loader`` of an image folder's data set.
    """

    def __init__(self, file: Path, sources: Sequence[str], stamp: bytes) -> None:
        """Map ``file``. Raises InputError if it does not hold ``sources`` as ``stamp`` says."""
        self._origin = (file, sources, stamp)
        index_at = _index_position(file, stamp, len(sources))
        if index_at is None:
            raise InputError(f"{file} changed while it was in use; start again.")
        self._pixels = np.memmap(file, np.uint8, mode="r")
        index = np.frombuffer(self._pixels, np.int64, 3 * len(sources), index_at)
        self._places = dict(zip(sources, index.reshape(-1, 3).tolist(), strict=True))

    def __call__(self, source: str) -> Image.Image:
        """Return the image at the path ``source``, as decoding it would."""
        start, width, height = self._places[source]
        pixels = self._pixels[start : start + 3 * width * height]
        return Image.frombuffer("RGB", (width, height), pixels, "raw", "RGB", 0, 1)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the file's name; a loader process that is not forked maps it again."""
        return DecodedImages, self._origin


def use_image_cache(domains: Sequence[Any], folder: Path) -> None:
    """Have the data sets ``domains`` take their images from the cache in ``folder``.

    They are image folders, torchvision's or this project's. Builds what is missing. Raises
    InputError for other data sets, for an image that cannot be decoded, and if the folder cannot
    be written or has not enough space.
    """
    caches: dict[tuple[str, ...], DecodedImages] = {}
    for domain in domains:
        if not (hasattr(domain, "samples") and hasattr(domain, "loader")):
            raise InputError(
                "--image_cache is for images in files; this data set has none. Leave it out."
            )
        sources = tuple(path for path, _ in domain.samples)
        if sources not in caches:
            caches[sources] = _opened(folder, sources)
        domain.loader = caches[sources]


def _opened(folder: Path, sources: Sequence[str]) -> DecodedImages:
    """Return the decoded images of ``sources``, decoding them if nobody has."""
    names = "\n".join(os.path.abspath(source) for source in sources)  # noqa: PTH100 - many files
    file = folder / f"{hashlib.sha256(names.encode()).hexdigest()[:32]}.rgb"
    stamp = _stamp(sources)
    if _index_position(file, stamp, len(sources)) is None:
        with writing(folder, "before the first step"):
            folder.mkdir(parents=True, exist_ok=True)
        with locked(file.with_suffix(".lock"), wait=True), writing(file, "before the first step"):
            if _index_position(file, stamp, len(sources)) is None:
                _build(file, sources, stamp)
    return DecodedImages(file, sources, stamp)


def _stamp(sources: Sequence[str]) -> bytes:
    """Return a digest of what decoding depends on: the files, as far as their age tells."""
    digest = hashlib.sha256(f"{Image.__version__} {features.version('jpg')}".encode())
    for source in sources:
        try:
            status = os.stat(source)  # noqa: PTH116 - many files
        except OSError as error:
            raise InputError(f"cannot read the image {source} ({error.strerror}).") from error
        digest.update(struct.pack("<qq", status.st_size, status.st_mtime_ns))
    return digest.digest()


def _index_position(file: Path, stamp: bytes, number: int) -> int | None:
    """Return where the index of a valid file begins; None for any other file."""
    try:
        with file.open("rb") as content:
            content.seek(-_FOOTER.size, os.SEEK_END)
            *found, position = _FOOTER.unpack(content.read(_FOOTER.size))
    except OSError:  # missing, or shorter than a footer
        return None
    return int(position) if found == [_FORMAT, stamp, number] else None


def _build(file: Path, sources: Sequence[str], stamp: bytes) -> None:
    """Decode all images and write the file; only for the holder of its lock."""
    for left_over in file.parent.glob(f".{file.name}.*.partial"):
        left_over.unlink(missing_ok=True)
    with ThreadPoolExecutor() as pool:
        _check_space(file.parent, sum(_mapped(pool, _decoded_size, sources)))
        index, position = [], 0
        with (
            output.progress(f"decoding {Path(sources[0]).parent.parent.name}", 0, len(sources))
            as advance,
            whole_file(file) as partial,
            partial.open("wb") as content,
        ):  # fmt: skip
            for image in _mapped(pool, read_rgb, sources):
                pixels = image.tobytes()
                index.append((position, *image.size))
                position += content.write(pixels)
                advance()
            position += content.write(b"\0" * (-position % 8))
            content.write(np.array(index, np.int64).tobytes())
            content.write(_FOOTER.pack(_FORMAT, stamp, len(sources), position))


def _mapped(
    pool: ThreadPoolExecutor, function: Callable[[str], Result], sources: Sequence[str]
) -> Iterator[Result]:
    """Yield the results in order, computed by the threads of ``pool``, some ahead."""
    for start in range(0, len(sources), _AT_ONCE):
        yield from pool.map(function, sources[start : start + _AT_ONCE])


def _decoded_size(source: str) -> int:
    """Return how many bytes an image takes when it is decoded; only its head is read."""
    width, height = image_size(source)
    return 3 * width * height


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"--image_cache {folder}: the decoded images need {needed / 1e9:.1f} GB, and "
            f"{free / 1e9:.1f} GB are free there."
        )
