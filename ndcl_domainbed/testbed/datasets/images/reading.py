"""Decoding image files."""

from __future__ import annotations

import struct
from typing import NoReturn

from PIL import Image

from imbalance_splits.errors import InputError

LARGE = 224
SMALL_SIZES = (28, 32)
"""Sizes that images keep; images of any other size become 224 x 224."""

_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)
"""What Pillow raises for a file that is missing, truncated, broken or no image."""


def read_rgb(path: str) -> Image.Image:
    """Decode an image file to RGB. Raises InputError, with the path, if that fails."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except _UNREADABLE as error:
        _refuse(path, error)


def image_size(path: str) -> tuple[int, int]:
    """Return width and height of an image; only the head of the file is read.

    Raises InputError, with the path, if that fails.
    """
    try:
        with Image.open(path) as image:
            return image.size
    except _UNREADABLE as error:
        _refuse(path, error)


def kept_size(path: str) -> int:
    """Return the size at which to use images like the one at ``path``: 28, 32 or 224.

    Raises InputError, with the path, if that cannot be read.
    """
    width, height = image_size(path)
    return width if width == height and width in SMALL_SIZES else LARGE


def _refuse(path: str, error: Exception) -> NoReturn:
    reason = getattr(error, "strerror", None) or str(error).replace(f" {path!r}", "")
    raise InputError(
        f"cannot read the image {path} ({reason}). Replace or delete the file."
    ) from error
