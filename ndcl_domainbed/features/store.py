"""The folder of features: NumPy arrays, and a JSON file that says what they are.

``features.npy``: float16 (N, 1 + V, D), of each image the plain view, then V augmented ones;
``labels.npy`` and ``domains.npy``: int64 (N,), class and domain of each image; ``files.npy``: (N,)
their names; ``stats.npy`` and ``digests.npy``: size, modification time and digest of each file,
which show that an image changed; ``features.json``: dataset, network, weights, sizes, names of
domains and classes, and the versions that made it. The folder appears under its name when all of it
is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from imbalance_splits.errors import InputError
from imbalance_splits.whole_files import whole_file
from ndcl_domainbed.features.image_list import ImageList
from ndcl_domainbed.features.spec import WeightsFile

INFO = "features.json"
_KNOWN = ("files", "labels", "domains", "stats", "digests")


@dataclass(frozen=True)
class Features:
    """The features of a dataset; ``values`` are mapped from the file and read when needed."""

    folder: Path
    info: dict[str, Any]
    values: np.ndarray
    labels: np.ndarray
    domains: np.ndarray


def read_features(folder: Path) -> Features:
    """Return the features in ``folder``. Raises InputError if it does not hold whole ones."""
    try:
        info = json.loads((folder / INFO).read_text(encoding="utf-8"))
        values = np.load(folder / "features.npy", mmap_mode="c")
        labels, domains = (np.load(folder / f"{name}.npy") for name in ("labels", "domains"))
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{folder} cannot be read as features ({error}).\nDelete the folder; the features are "
            "then computed again."
        ) from error
    return Features(folder, info, values, labels, domains)


def why_stale(folder: Path, images: ImageList, weights: Path | None) -> str | None:
    """Return why the features in ``folder`` are not those of the images; None if they are.

    An image or a file of weights is hashed again only if its size or modification time differs.
    """
    try:
        info = json.loads((folder / INFO).read_text(encoding="utf-8"))
        files, labels, domains, stats, digests = (
            np.load(folder / f"{name}.npy") for name in _KNOWN
        )
        values = np.load(folder / "features.npy", mmap_mode="r")
        shape = (info["images"], 1 + info["views"], info["width"])
        versions, known_weights = info["versions"], info["weights_file"]
        classes_and_domains = info["classes"], info["domains"]
    except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
        return f"they cannot be read ({error!r})"
    if values.shape != shape:
        return "features.npy is damaged"
    updated = _updated_package(versions)
    if updated:
        return f"{updated} is another version than the one that made them"
    if classes_and_domains != (images.classes, images.environments):
        return "the domains or classes of the dataset changed"
    pairs = ((files, images.files), (labels, images.labels), (domains, images.domains))
    if not all(np.array_equal(then, now) for then, now in pairs):
        return f"the dataset had {len(files):,} images and has {len(images):,}, or other ones"
    moved = np.flatnonzero((stats != images.stats).any(axis=1))
    changed = [i for i in moved if images.digest(int(i)).encode() != digests[i]]
    if changed:
        return f"{len(changed)} images changed, such as {files[changed[0]]}"
    if len(moved):
        # Save sizes and times, so that no file is hashed again; leave a read-only folder alone.
        with suppress(OSError):
            _write_array(folder, images, "stats")
    if weights is not None and (
        known_weights is None or not WeightsFile(**known_weights).is_at(weights)
    ):
        return f"the weights in {weights.name} changed"
    return None


def _updated_package(made_with: Mapping[str, str]) -> str | None:
    """Return a package whose version is not the one that made the features, or None.

    These decode and resize images, and define networks and their normalization.
    """
    for package in ("pillow", "torchvision", "timm"):
        try:
            now = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
        then = made_with.get(package)
        if then is not None and then.partition("+")[0] != now.partition("+")[0]:
            return package
    return None


def write_arrays(folder: Path, images: ImageList) -> None:
    """Write what is known of the images."""
    for name in ("labels", "domains", "files", "stats"):
        _write_array(folder, images, name)


def _write_array(folder: Path, images: ImageList, name: str) -> None:
    with whole_file(folder / f"{name}.npy") as partial, partial.open("wb") as file:
        np.save(file, getattr(images, name))
