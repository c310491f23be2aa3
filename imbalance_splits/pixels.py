"""From an image file of any kind to 8-bit RGB, and what is lost on the way.

Pillow would convert some kinds without a word into all white (16-bit gray) or all black (floats
in [0, 1]). Here every kind is scaled by its documented range or refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from imbalance_splits.errors import InputError

SMALL_SIZES = (28, 32)  # sizes that images keep; images of any other size become `LARGE`
LARGE = 224

_DIRECT = ("RGB", "L", "1", "P", "CMYK", "YCbCr", "RGBX")
_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_ORIENTATION = 0x0112  # the EXIF tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each orientation; Pillow turns a TIFF by itself."""

_BITS, _PHOTOMETRIC = 258, 262  # TIFF tags
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)
"""What Pillow raises for a file that is missing, truncated, broken or no image."""


def read_rgb(
    path: str | Path, *, hidden_colors: bool = False, exif_rotation: bool = False
) -> Image.Image:
    """Decode an image file to 8-bit RGB.

    Gray of more than 8 bits is scaled to 8. Transparent pixels are blended with white, or show the
    color that is hidden in them with ``hidden_colors``, as in DomainBed. With ``exif_rotation`` the
    image is turned as its EXIF data says. Raises InputError, with the path, for a file that cannot
    be decoded, and for pixels without a documented range, such as floats.
    """
    with _open_image(path) as image:
        return to_rgb(image, hidden_colors=hidden_colors, exif_rotation=exif_rotation)


def choose_size(paths: Iterable[str | Path]) -> tuple[int, str]:
    """Return the height and width at which to use images, in pixels, and why.

    Images keep their size if every one of them is 28 x 28, or every one 32 x 32; otherwise they
    become 224 x 224. Only the heads of the files are read, up to the first that decides it. Raises
    InputError, with the path, for an image that cannot be read.
    """
    first = None
    for path in paths:
        with _open_image(path) as image:
            size = image.size
        first = first or size
        width, height = size
        if size != first or width != height or width not in SMALL_SIZES:
            return LARGE, f"not all are 28×28 or 32×32: {path} is {width}×{height}"
    return (first[0], "all have this size") if first else (LARGE, "there are none")


def describe_conversion(path: str | Path, *, hidden_colors: bool = False) -> list[str]:
    """Decode an image; return what :func:`read_rgb` does with it, a phrase for each conversion.

    Raises InputError, with the path, for an image that it refuses.
    """
    with _open_image(path) as image:
        to_rgb(image, hidden_colors=hidden_colors)
        color = "transparent pixels show their hidden colors" if hidden_colors else "on white"
        lines = {
            "palette: each pixel gets its color": image.mode in ("P", "PA"),
            "CMYK: converted to RGB without a color profile": image.mode == "CMYK",
            f"{_gray_bits(image)}-bit gray: scaled to 8 bits": _gray_bits(image) > 0,
            f"transparency: {color}": _has_alpha(image) and not _gray_bits(image),
            "EXIF rotation: ignored, as in DomainBed (exif_rotation turns the image)": (
                _orientation(image) in _TURNS
            ),
            "several frames: the first is used": getattr(image, "n_frames", 1) > 1,
        }
    return [line for line, holds in lines.items() if holds]


@contextmanager
def _open_image(path: str | Path) -> Iterator[Any]:
    """Open an image. Raises InputError, with the path, for whatever goes wrong inside."""
    try:
        with Image.open(path) as image:
            yield image
    except _UNREADABLE as error:
        text = getattr(error, "strerror", None) or str(error).replace(f" {str(path)!r}", "")
        reason = text.strip() or type(error).__name__
        raise InputError(
            f"cannot read the image {path} ({reason}). Replace or delete the file."
        ) from error


def _orientation(image: Any) -> int:
    return int(image.getexif().get(_ORIENTATION, 1))


def _has_alpha(image: Any) -> bool:
    return image.mode in _WITH_ALPHA or "transparency" in image.info


def _gray_bits(image: Any) -> int:
    """Return the bits of a pixel of an image in gray with more than 8; 0 for any other."""
    if not image.mode.startswith("I"):
        return 0
    kind = getattr(image, "format", None)
    if kind == "TIFF" and image.mode != "I":
        return int(image.tag_v2[_BITS][0])
    known = ("PNG", "PPM") if image.mode == "I" else ("PNG", "PPM", None)  # None: not of a file
    return 16 if kind in known else 0  # Pillow scales a PGM to this range


def to_rgb(image: Any, *, hidden_colors: bool = False, exif_rotation: bool = False) -> Image.Image:
    """Return an image of Pillow's in 8-bit RGB, as :func:`read_rgb` does.

    Raises ValueError if the range of its pixels is not documented.

    >>> to_rgb(Image.fromarray(np.array([[65535]], np.uint16))).getpixel((0, 0))
    (255, 255, 255)
    """
    turn = _TURNS.get(_orientation(image)) if exif_rotation else None
    rgb = _convert(image, hidden_colors)
    return rgb if turn is None else rgb.transpose(turn)


def _convert(image: Any, hidden_colors: bool) -> Image.Image:
    if _gray_bits(image):
        most = 2 ** _gray_bits(image) - 1
        values = np.asarray(image).astype(np.int64)
        if image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == 0:  # 0 is white
            values = most - values
        gray = ((values * 255 + most // 2) // most).astype(np.uint8)  # to the nearest
        return Image.fromarray(gray).convert("RGB")
    if image.mode not in _DIRECT + _WITH_ALPHA:
        raise ValueError(
            f"pixels of Pillow's mode {image.mode} have no documented range; "
            "convert them to 8-bit or 16-bit gray or to RGB"
        )
    if _has_alpha(image):
        if image.mode in ("RGBa", "La"):
            image = image.convert(image.mode.upper())
        if not hidden_colors:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
