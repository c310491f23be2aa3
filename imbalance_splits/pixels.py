"""From an image file of any kind to 8-bit RGB, and what is lost on the way.

Pillow would convert some kinds without a word into all white (16-bit gray) or all black (floats
in [0, 1]). Here every kind is scaled by its documented range or refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from imbalance_splits.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

_DIRECT = ("RGB", "L", "1", "P", "CMYK", "YCbCr", "RGBX")
_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_ORIENTATION = 0x0112  # the EXIF tag
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""What undoes each orientation; Pillow turns a TIFF by itself."""
_BITS, _PHOTOMETRIC = 258, 262  # TIFF tags

SMALL_SIZES = (28, 32)
"""Sizes that images keep; images of any other size become :data:`LARGE`."""

LARGE = 224


def read_rgb(
    path: str | Path, *, hidden_colors: bool = False, exif_rotation: bool = False
) -> Image.Image:
    """Decode an image file to 8-bit RGB.

    16-bit gray is scaled to 8 bits. Transparent pixels are blended with white, or show the color
    that is hidden in them with ``hidden_colors``, as in DomainBed. With ``exif_rotation`` the image
    is turned as its EXIF data says. Raises InputError, with the path, for a file that cannot be
    decoded, and for pixels without a documented range, such as floats.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            rgb = _to_rgb(image, hidden_colors)
            turn = _TURNS.get(_orientation(image)) if exif_rotation else None
            return rgb if turn is None else rgb.transpose(Image.Transpose[turn])
    except _unreadable() as error:
        _refuse(path, error)


def image_size(path: str | Path) -> tuple[int, int]:
    """Return width and height in pixels; only the head of the file is read.

    Raises InputError, with the path, if that fails.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.size
    except _unreadable() as error:
        _refuse(path, error)


def choose_size(paths: Iterable[str | Path]) -> tuple[int, str]:
    """Return the height and width at which to use images, in pixels, and why.

    Images keep their size if every one of them is 28 x 28, or every one 32 x 32; otherwise they
    become 224 x 224. Reading ends with the first image that decides that. Raises InputError, with
    the path, for an image that cannot be read.
    """
    first = None
    for path in paths:
        size = image_size(path)
        first = first or size
        width, height = size
        if size != first or width != height or width not in SMALL_SIZES:
            return LARGE, f"not all are 28×28 or 32×32: {path} is {width}×{height}"
    return (first[0], "all have this size") if first else (LARGE, "there are none")


def describe_conversion(path: str | Path, *, hidden_colors: bool = False) -> list[str]:
    """Decode an image; return what :func:`read_rgb` does with it, a phrase for each conversion.

    Raises InputError, with the path, for an image that it refuses.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            _to_rgb(image, hidden_colors)
            return list(_conversions(image, hidden_colors))
    except _unreadable() as error:
        _refuse(path, error)


def _conversions(image: Image.Image, hidden_colors: bool) -> Iterable[str]:
    """Yield what is lost, converted or ignored."""
    if image.mode in ("P", "PA"):
        yield "palette: each pixel gets its color"
    if image.mode == "CMYK":
        yield "CMYK: converted to RGB without a color profile"
    if _bits(image) > 8:
        yield f"{_bits(image)}-bit gray: scaled to 8 bits"
    if _has_alpha(image):
        done = "transparent pixels show their hidden colors" if hidden_colors else "on white"
        yield f"transparency: {done}"
    if _orientation(image) in _TURNS:
        yield "EXIF rotation: ignored, as in DomainBed (exif_rotation turns the image)"
    if getattr(image, "n_frames", 1) > 1:
        yield "several frames: the first is used"


def _orientation(image: Image.Image) -> int:
    return int(image.getexif().get(_ORIENTATION, 1))


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in _WITH_ALPHA or "transparency" in image.info


def _bits(image: Image.Image) -> int:
    """Return the bits of a pixel of an image in gray with more than 8; 0 for any other."""
    if image.format in ("PNG", "PPM") and image.mode in ("I", "I;16", "I;16B"):
        return 16  # Pillow scales a PGM to this range
    if image.format == "TIFF" and image.mode.startswith("I;16"):
        return int(image.tag_v2[_BITS][0])  # type: ignore[attr-defined]
    return 0


def _to_rgb(image: Image.Image, hidden_colors: bool) -> Image.Image:
    """Return the image in 8-bit RGB. Raises ValueError if its range is not known."""
    from PIL import Image

    if _bits(image):
        return _from_deep_gray(image).convert("RGB")
    if image.mode not in _DIRECT + _WITH_ALPHA:
        raise ValueError(
            f"pixels of Pillow's mode {image.mode} have no documented range; "
            "convert them to 8-bit or 16-bit gray or to RGB"
        )
    if not _has_alpha(image):
        return image.convert("RGB")
    if image.mode in ("RGBa", "La"):
        image = image.convert(image.mode.upper())
    if hidden_colors:
        return image.convert("RGB")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _from_deep_gray(image: Image.Image) -> Image.Image:
    """Return gray of more than 8 bits as 8-bit gray, rounded to the nearest value."""
    import numpy as np
    from PIL import Image

    most = 2 ** _bits(image) - 1
    values = np.asarray(image).astype(np.int64)
    if image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == 0:  # type: ignore[attr-defined]
        values = most - values  # 0 is white
    return Image.fromarray(((values * 255 + most // 2) // most).astype(np.uint8))


def _unreadable() -> tuple[type[Exception], ...]:
    """Return what Pillow raises for a file that is missing, truncated, broken or no image."""
    from PIL import Image

    return (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
        Image.DecompressionBombError,
    )


def _refuse(path: str | Path, error: Exception) -> NoReturn:
    text = getattr(error, "strerror", None) or str(error).replace(f" {str(path)!r}", "")
    reason = text.strip() or type(error).__name__
    raise InputError(
        f"cannot read the image {path} ({reason}). Replace or delete the file."
    ) from error
