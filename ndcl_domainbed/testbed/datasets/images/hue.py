"""The hue of an image, shifted: the pixels that Pillow's HSV gives, in a third of its time.

Of all that augments an image the hue takes most: Pillow converts each pixel to HSV and back in
floating point. Here a pixel is looked up. Its hue depends on the order of its channels, on the
range between the highest and the lowest and on how far the middle one is below the highest; its
saturation on range and highest. Pillow makes both tables. On the way back the highest channel is
the value v, and the others are v (1 - s) and v (1 - s w), where w depends on the hue alone; as all
are fractions with an odd denominator, whole numbers round them as Pillow does.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image

_ALL = np.arange(256)


class _Tables(NamedTuple):
    """``hue`` is indexed by order, range and middle, ``saturation`` by range and highest."""

    hue: np.ndarray
    saturation: np.ndarray


def shift_hue(image: Image.Image, shift: int) -> Image.Image:
    """Return an RGB image whose hues, 0 to 255 as Pillow has them, are ``shift`` further round."""
    pixels = np.asarray(image)
    planes = np.ascontiguousarray(pixels.reshape(-1, 3).T)
    highest = planes.max(axis=0)
    hue, saturation = _hue_and_saturation(planes, highest)
    hue += np.uint8(shift % 256)
    words = _words(hue, saturation, highest.astype(np.int32))
    return Image.frombytes("RGB", image.size, words.data, "raw", "RGBX")


def _hue_and_saturation(planes: np.ndarray, highest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the hues, uint8, and saturations, int32, of the uint8 channels ``planes`` (3, N)."""
    lowest = planes.min(axis=0)
    span = highest - lowest
    middle = planes[0] + planes[1] + planes[2] - highest - lowest  # modulo 256, so exact
    tables = _tables()
    hue = tables.hue.take(_join_bytes(_order(*planes), span, highest - middle))
    return hue, tables.saturation.take(_join_bytes(span, highest))


def _words(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return pixels as little-endian words, red in the lowest byte, of int32 channels of HSV."""
    way = _way_back().take(hue)
    middle = value * (255 * 255 - saturation * (way & 255))
    middle = (middle + 255 * 255 // 2) // (255 * 255)
    lowest = (value * (255 - saturation) + 255 // 2) // 255
    words = value << (way >> 8 & 31)
    words |= middle << (way >> 16 & 31)
    words |= lowest << (way >> 24)
    return words.astype("<i4", copy=False)


def _order(red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> np.ndarray:
    """Return a number below 8 that tells which channel is the highest and which the lowest."""
    bits = ((red >= green), (green >= blue), (blue >= red))
    first, second, third = (bit.view(np.uint8) for bit in bits)
    return first | second << 1 | third << 2


def _join_bytes(first: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """Return the position in a table of what has these indices, a byte each."""
    position = first.astype(np.int32)
    for other in others:
        position <<= 8
        position |= other
    return position


@cache
def _tables() -> _Tables:
    """Have Pillow convert a pixel for each entry that a pixel can have."""
    span, other = np.meshgrid(_ALL, _ALL, indexing="ij")
    possible = other <= span
    hue = np.zeros((8, 256, 256), np.uint8)
    for places in itertools.permutations(range(3)):
        channels = np.zeros((3, 256, 256), np.uint8)
        highest, middle, lowest = places
        channels[highest], channels[lowest] = 255, 255 - span
        channels[middle] = np.where(possible, 255 - other, 0)
        found = _hsv(channels)[..., 0]
        order = _order(*channels)
        hue[order[possible], span[possible], other[possible]] = found[possible]
    low = np.maximum(other - span, 0)
    saturation = _hsv(np.array([other, low, low], np.uint8))[..., 1]
    return _Tables(hue.ravel(), saturation.ravel().astype(np.int32))


def _hsv(channels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(np.moveaxis(channels, 0, 2).copy()).convert("HSV"))


@cache
def _way_back() -> np.ndarray:
    """Return for each hue, byte by byte from the lowest: w times 255, and the places in a word.

    These are how far the highest, the middle and the lowest channel are shifted there; they differ
    from one of the six sectors of hue to the next. w grows in odd sectors and falls in even ones.
    """
    sector, part = np.divmod(6 * _ALL, 255)
    sector %= 6
    way = np.where(sector % 2 == 1, part, 255 - part)
    ranked = ([0, 1, 1, 2, 2, 0], [1, 0, 2, 1, 0, 2], [2, 2, 0, 0, 1, 1])
    for byte, channels in enumerate(ranked, start=1):
        way |= 8 * np.array(channels)[sector] << 8 * byte
    return way.astype(np.int32)
