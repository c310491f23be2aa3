"""The three domains of handwritten digits: MNIST, MNIST-M and OPT."""

from __future__ import annotations

import numpy as np

from ndcl_domainbed.testbed.datasets.digits import SIZE, Images, sources

SPLIT_SEED = 2601
PATCH_SEED = 2602
ZOOMS = (1, 2, 3)
"""A patch is a crop of a photograph shrunk by one of these factors."""


def halves(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split the indices of every class at random into two halves, each sorted by class."""
    rng = np.random.RandomState(SPLIT_SEED)
    first, second = [], []
    for digit in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == digit))
        first.append(members[: len(members) // 2])
        second.append(members[len(members) // 2 :])
    return np.concatenate(first), np.concatenate(second)


def mnist() -> Images:
    """Return the first half of the MNIST digits, gray on black."""
    pixels, labels = sources.mnist()
    chosen, _ = halves(labels)
    return _as_rgb(pixels[chosen]), labels[chosen]


def mnist_m() -> Images:
    """Return the other half, blended with patches of photographs: |patch - digit|.

    The recipe is that of MNIST-M (Ganin and Lempitsky, 2015), which blends with photographs of
    BSDS500.
    """
    pixels, labels = sources.mnist()
    _, chosen = halves(labels)
    patches = _patches(sources.photographs(), len(chosen))
    digits = pixels[chosen].astype(np.int64)[..., None]
    return np.abs(patches - digits).astype(np.uint8), labels[chosen]


def optical() -> Images:
    """Return the UCI digits, enlarged from 8 x 8 to 28 x 28 by bilinear interpolation."""
    levels, labels = sources.optical()
    weights, unit = _enlarging(8, SIZE)
    enlarged = np.einsum("ia,nab,jb->nij", weights, levels, weights)
    full = 16 * unit**2
    pixels = (enlarged * 255 + full // 2) // full
    order = np.argsort(labels, kind="stable")
    return _as_rgb(pixels[order].astype(np.uint8)), labels[order]


def _as_rgb(gray: np.ndarray) -> np.ndarray:
    return np.repeat(gray[..., None], 3, axis=-1)


def _enlarging(old: int, new: int) -> tuple[np.ndarray, int]:
    """Return integer weights (new, old) of linear interpolation and the sum of each row.

    The center of the new pixel i lies at ((2i + 1) old - new) / (2 new) in old pixels.
    """
    unit = 2 * new
    position = np.clip((2 * np.arange(new) + 1) * old - new, 0, (old - 1) * unit)
    left, share = position // unit, position % unit
    weights = np.zeros((new, old), dtype=np.int64)
    rows = np.arange(new)
    weights[rows, left] += unit - share
    weights[rows, np.minimum(left + 1, old - 1)] += share
    return weights, unit


def _patches(photographs: list[np.ndarray], count: int) -> np.ndarray:
    """Return random patches (count, 28, 28, 3) int64 of the photographs, turned and flipped."""
    rng = np.random.RandomState(PATCH_SEED)
    patches = np.empty((count, SIZE, SIZE, 3), dtype=np.int64)
    for patch in patches:
        photograph = photographs[rng.randint(len(photographs))]
        zoom = ZOOMS[rng.randint(len(ZOOMS))]
        side = SIZE * zoom
        top = rng.randint(photograph.shape[0] - side + 1)
        left = rng.randint(photograph.shape[1] - side + 1)
        crop = photograph[top : top + side, left : left + side].astype(np.int64)
        blocks = crop.reshape(SIZE, zoom, SIZE, zoom, 3).sum(axis=(1, 3))
        shrunk = (blocks + zoom**2 // 2) // zoom**2
        shrunk = np.rot90(shrunk, rng.randint(4))
        patch[:] = shrunk[:, ::-1] if rng.randint(2) else shrunk
    return patches
