"""What features depend on besides the images: the network, its weights, and the views."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from imbalance_splits.errors import InputError

VERSION = 1
"""Raised when this package computes other features from the same images and weights."""


@dataclass(frozen=True)
class FeatureSpec:
    """Which network sees which views of the images.

    ``backbone`` is resolved: 'auto' is the name of the network that it stands for. ``weights`` is
    the file that was named, 'pretrained' or 'random'.
    """

    backbone: str
    weights: str
    image_size: int
    views: int
    view_augmentation: str
    version: int = VERSION
    exif_rotation: bool = False

    @classmethod
    def from_hparams(cls, hparams: Mapping[str, Any]) -> FeatureSpec:
        """Return what the hyper-parameters of a run ask for. Raises InputError for bad ones."""
        from ndcl_domainbed.testbed.networks import choose_backbone

        size = int(hparams["image_size"])
        unfrozen = {**hparams, "frozen": False}
        weights = "pretrained" if hparams["pretrained"] else "random"
        return cls(
            backbone=choose_backbone((3, size, size), unfrozen),
            weights=Path(hparams["weights"]).name if hparams["weights"] else weights,
            image_size=size,
            views=int(hparams["views"]),
            view_augmentation=str(hparams["view_augmentation"]),
            exif_rotation=bool(hparams.get("exif_rotation", False)),
        )

    def as_record(self) -> dict[str, Any]:
        """Return the fields as plain values, ``exif_rotation`` only where it is on."""
        values = asdict(self)
        if not self.exif_rotation:
            del values["exif_rotation"]
        return values

    def folder_name(self, dataset: str, weights: Path | None = None) -> str:
        """Return the name of the folder that holds these features of ``dataset``.

        ``weights`` is the user's own file: two files of one name have two folders.
        """
        place = str(weights.resolve()) if weights is not None else None
        text = json.dumps([dataset, self.as_record(), place], sort_keys=True)
        digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:8]
        words = [Path(dataset).name, self.backbone.removeprefix("timm:"), f"{self.image_size}px"]
        return "-".join(re.sub(r"[^\w.]+", "_", word) for word in [*words, digest])


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights as it was: ``sha256`` of its content, size, time of change in ns."""

    name: str
    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def read(cls, path: Path) -> WeightsFile:
        """Return the file at ``path`` as it is. Raises InputError if it cannot be read."""
        try:
            stat = path.stat()
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise InputError(f"cannot read the weights {path} ({error.strerror}).") from error
        return cls(path.name, stat.st_size, stat.st_mtime_ns, digest)

    def is_at(self, path: Path) -> bool:
        """Whether ``path`` has this content; it is read only if size or time differ."""
        try:
            stat = path.stat()
        except OSError:
            return False
        if (stat.st_size, stat.st_mtime_ns) == (self.size, self.mtime_ns):
            return True
        return stat.st_size == self.size and WeightsFile.read(path).sha256 == self.sha256
