"""The domain of printed digits, SYN: fonts, colors, clutter, turns, blur and noise."""

from __future__ import annotations

import math

import numpy as np

from ndcl_domainbed.testbed.datasets.digits import SIZE, Images, fonts

SEED = 2603
PER_CLASS = 250
CONTRAST = 90
"""Least difference of luminance, of 255, between a digit and its background."""

TINT = 48
"""How far a channel of a color may lie from the color's gray level."""

_FINE = 4  # sub-pixels per pixel and axis
_UNIT = 8  # units of length per pixel
_ONE = 1 << 16  # fixed-point 1.0

Rng = np.random.RandomState


def synthetic() -> Images:
    """Return 250 drawn images of each digit."""
    rng = np.random.RandomState(SEED)
    shapes = fonts.glyphs()
    labels = np.repeat(np.arange(10), PER_CLASS)
    images = np.stack([_draw(rng, shapes, int(digit)) for digit in labels])
    return images, labels


def _draw(rng: Rng, shapes: list[list[np.ndarray]], digit: int) -> np.ndarray:
    """Return one image uint8 (28, 28, 3) of ``digit``."""
    ground, ink = _colors(rng)
    image = _background(rng, ground)
    _clutter(rng, image)
    font = shapes[rng.randint(len(shapes))]
    height = rng.randint(16, 23) * _UNIT
    for side in (-1, 1):
        if rng.randint(100) < 25:  # a neighbor that reaches into the image
            distance = side * rng.randint(15, 19) * _UNIT
            cover = _cover(rng, font[rng.randint(10)], height, (distance, 0))
            _paint(image, cover, ink if rng.randint(2) else _color(rng))
    place = (rng.randint(-2 * _UNIT, 2 * _UNIT + 1), rng.randint(-2 * _UNIT, 2 * _UNIT + 1))
    _paint(image, _cover(rng, font[digit], height, place), ink)
    for _ in range(rng.randint(2)):
        image = _blur(image)
    return _noise(rng, image)


def _color(rng: Rng) -> np.ndarray:
    return np.clip(rng.randint(256) + rng.randint(-TINT, TINT + 1, size=3), 0, 255)


def _luminance(color: np.ndarray) -> int:
    return int(color @ np.array([299, 587, 114])) // 1000


def _colors(rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """Return a background and an ink with contrast."""
    while True:
        ground, ink = _color(rng), _color(rng)
        if abs(_luminance(ground) - _luminance(ink)) >= CONTRAST:
            return ground, ink


def _background(rng: Rng, ground: np.ndarray) -> np.ndarray:
    """Return a gradient around the color ``ground``, int64 (28, 28, 3)."""
    slope = rng.randint(-2, 3, size=(2, 3))
    along = np.arange(SIZE) - SIZE // 2
    tilt = along[:, None, None] * slope[0] + along[None, :, None] * slope[1]
    return np.clip(ground + tilt, 0, 255)


def _clutter(rng: Rng, image: np.ndarray) -> None:
    """Paint up to two half-transparent bars across the image."""
    rows, columns = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    for _ in range(rng.randint(3)):
        cosine, sine = _turn(rng.randint(180))
        offset = (rows * cosine + columns * sine) // _ONE - rng.randint(-12, 13)
        cover = (np.abs(offset) <= rng.randint(2)) * rng.randint(60, 160)
        _paint(image, cover, _color(rng))


def _turn(degrees: int) -> tuple[int, int]:
    """Return cosine and sine in fixed point."""
    angle = math.radians(degrees)
    return round(_ONE * math.cos(angle)), round(_ONE * math.sin(angle))


def _cover(rng: Rng, shape: np.ndarray, height: int, place: tuple[int, int]) -> np.ndarray:
    """Return how much of each pixel a turned and sheared glyph covers, int64 0..256 (28, 28).

    The glyph is ``height`` units tall and stands at ``place`` (x, y) from the middle.
    """
    cosine, sine = _turn(rng.randint(-15, 16))
    shear = rng.randint(-_ONE // 6, _ONE // 6 + 1)
    stretch = rng.randint(80, 121)  # of the width, in percent
    fine = _UNIT // _FINE
    points = fine * np.arange(SIZE * _FINE) + fine // 2 - SIZE * _UNIT // 2
    x, y = points[None, :] - place[0], points[:, None] - place[1]
    down = (y * cosine - x * sine) // _ONE
    across = (x * cosine + y * sine + down * shear) // _ONE
    row = (2 * down + height) * shape.shape[0] // (2 * height)
    column = (200 * across * shape.shape[0] // (height * stretch) + shape.shape[1]) // 2
    inside = (row >= 0) & (row < shape.shape[0]) & (column >= 0) & (column < shape.shape[1])
    ink = shape[np.where(inside, row, 0), np.where(inside, column, 0)] & inside
    blocks = ink.reshape(SIZE, _FINE, SIZE, _FINE).sum(axis=(1, 3))
    return blocks * 256 // _FINE**2


def _paint(image: np.ndarray, cover: np.ndarray, color: np.ndarray) -> None:
    """Blend ``color`` into ``image`` where ``cover`` (0..256) says."""
    share = cover[..., None]
    image[:] = (image * (256 - share) + color * share + 128) // 256


def _blur(image: np.ndarray) -> np.ndarray:
    """Smooth with the binomial kernel 1-2-1 along both axes."""
    for axis in (0, 1):
        pad = [(1, 1) if a == axis else (0, 0) for a in range(3)]
        wide = np.pad(image, pad, mode="edge")
        before, after = wide.take(range(SIZE), axis), wide.take(range(2, SIZE + 2), axis)
        image = (before + 2 * image + after + 2) // 4
    return image


def _noise(rng: Rng, image: np.ndarray) -> np.ndarray:
    """Add noise of a random strength, nearly normal (a sum of three uniform values)."""
    strength = rng.randint(11)
    noise = rng.randint(-strength, strength + 1, size=(3, *image.shape)).sum(axis=0)
    return np.clip(image + noise, 0, 255).astype(np.uint8)
