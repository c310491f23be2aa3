"""A dataset of frozen features: what a run with the hyper-parameter ``frozen`` trains on."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

from imbalance_splits.errors import InputError
from ndcl_domainbed.features import extraction
from ndcl_domainbed.features.image_list import ImageList, list_images
from ndcl_domainbed.features.spec import FeatureSpec, WeightsFile
from ndcl_domainbed.features.store import Features, read_features, why_stale
from ndcl_domainbed.hparams import SHORT_FREQ, SHORT_RUN
from ndcl_domainbed.locks import locked
from ndcl_domainbed.progress import ProgressLine
from ndcl_domainbed.testbed.datasets.base import MultiDomainDataset, preprocessing
from ndcl_domainbed.testbed.networks.normalization import normalization_of
from ndcl_domainbed.testbed.networks.weights import digest_of, packaged_file

ChooseDevice = Callable[[], torch.device]

NETWORK_SEED = 0
"""Seeds a backbone of random weights, so that its features are the same each time."""


class DomainFeatures(TensorDataset):
    """One domain: item i is the plain view of image i as float32 (D,), and its label.

    ``views``: float16 (n, 1 + V, D); training draws one of them for each image, with ``augment``
    False always the plain one. ``root`` is the folder of the domain's images.
    """

    def __init__(
        self, values: np.ndarray, labels: np.ndarray, root: Path | None, *, augment: bool
    ) -> None:
        self.views = torch.from_numpy(values)
        super().__init__(self.views[:, 0], torch.from_numpy(labels))
        self.targets = labels.tolist()
        self.root = root
        self.choices = self.views.shape[1] if augment else 1
        self._rows = self.views.flatten(0, 1)
        self._generator = np.random.RandomState()  # reseeding is faster than constructing

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the plain view of an image, float32 (D,), and its label."""
        x, y = self.tensors
        return x[index].float(), y[index]

    def __getitems__(self, indices: list[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return the items of a batch, read at once."""
        return list(zip(*self.take(torch.as_tensor(indices)), strict=True))

    def take(
        self, indices: torch.Tensor, seed: int | None = None, first_view: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return vectors, float32 (B, D), and labels (B,).

        With a ``seed`` each is of a random view, ``first_view`` or a later one, else the plain one.
        """
        rows = indices * self.views.shape[1]
        if seed is not None and self.choices > 1:
            self._generator.seed(seed)
            drawn = self._generator.randint(first_view, self.choices, size=len(indices))
            rows = rows + torch.from_numpy(drawn)
        return self._rows.index_select(0, rows).float(), self.tensors[1][indices]


class FrozenFeatures(MultiDomainDataset):
    """The features of a dataset's images; see :func:`frozen_dataset`.

    ``feature_info``: what the features are, as in their JSON file, which lies in ``folder``.
    """

    N_STEPS: ClassVar[int] = SHORT_RUN
    CHECKPOINT_FREQ: ClassVar[int] = SHORT_FREQ
    N_WORKERS: ClassVar[int] = 0
    RESIZES: ClassVar[bool] = True

    IMAGES: ClassVar[Any]
    """The dataset whose images the backbone sees."""

    CACHE: ClassVar[Path]

    _read: ClassVar[tuple[ImageList, Features] | None] = None
    """The images and their features, read once for all instances of a run's class."""

    @classmethod
    def files_by_domain(cls) -> list[list[tuple[str, int]]] | None:
        """Return name and size of the files of each domain, once read; None for pixels."""
        images = cls._read[0] if cls._read else None
        if images is None or not images.in_files:
            return None
        files = list(zip(images.files.tolist(), images.stats[:, 0].tolist(), strict=True))
        ends = np.searchsorted(images.domains, range(len(images.environments) + 1)).tolist()
        return [files[start:end] for start, end in itertools.pairwise(ends)]

    @staticmethod
    def choose_device() -> torch.device:
        """Return the device to extract on; called only if features must be extracted."""
        return torch.device("cpu")

    def __init__(self, root: str, test_envs: Sequence[int], hparams: Mapping[str, Any]) -> None:
        """Read the features of the images below ``root``; the first time, compute them."""
        super().__init__(root, test_envs, hparams)
        cls = type(self)
        if cls._read is None:
            listed = list_images(self.IMAGES, root, hparams)
            cls._read = listed, ensure_features(listed, hparams, self.CACHE, self.choose_device)
        images, features = cls._read
        self.feature_info = features.info
        self.folder = features.folder
        self.classes = images.classes
        self.num_classes = len(self.classes)
        self.input_shape = (features.values.shape[2],)
        known = features.info["normalization"]
        self.preprocessing = preprocessing(
            features.info["image_size"], known["mean"], known["std"],
            hidden_colors=getattr(self.IMAGES, "HIDDEN_COLORS", False),
        )  # fmt: skip
        self.datasets = []
        ends = np.searchsorted(features.domains, range(len(self.ENVIRONMENTS) + 1))
        for env, folder in enumerate(images.folders):
            rows = slice(ends[env], ends[env + 1])
            augment = bool(hparams["data_augmentation"]) and env not in test_envs
            self.datasets.append(
                DomainFeatures(
                    features.values[rows], features.labels[rows], folder, augment=augment
                )
            )


def frozen_dataset(images: Any, cache: Path, choose_device: ChooseDevice) -> type[FrozenFeatures]:
    """Return the dataset class of the features of ``images``, another dataset class.

    They are kept in ``cache`` and, if need be, computed on the device that is chosen then.
    """
    attributes = {
        "__doc__": f"Frozen features of {images.__name__}.",
        "ENVIRONMENTS": list(images.ENVIRONMENTS),
        "FIXED_SPLIT": getattr(images, "FIXED_SPLIT", None),
        "IMAGES": images,
        "CACHE": cache,
        "choose_device": staticmethod(choose_device),
    }
    return type(images.__name__, (FrozenFeatures,), attributes)


def ensure_features(
    images: ImageList,
    hparams: Mapping[str, Any],
    cache: Path,
    choose_device: ChooseDevice,
) -> Features:
    """Return the features of ``images``; compute them if they are missing or stale.

    One process computes; others wait for it, and then read. Raises InputError if the weights
    cannot be loaded, an image cannot be decoded, or ``cache`` cannot be written when it must be.
    """
    spec = FeatureSpec.from_hparams(hparams)
    own = Path(hparams["weights"]) if hparams["weights"] else None
    folder = cache / spec.folder_name(images.dataset, own)
    weights = weights_file(hparams)
    reason = why_stale(folder, images, weights) if folder.exists() else "missing"
    if reason is None:
        return read_features(folder)
    if folder.exists():
        print(f"The features in {folder} are stale: {reason}. Recomputing them.", flush=True)
    _make_writable(cache)
    with locked(cache / f".{folder.name}.lock", wait=f"computes the features in {cache}"):
        if not folder.exists() or why_stale(folder, images, weights):
            _extract(images, hparams, spec, folder, weights, choose_device())
        return read_features(folder)


def _make_writable(cache: Path) -> None:
    """Make the folder of features. Raises InputError if nothing can be written there."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        if not os.access(cache, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise InputError(
            f"cannot write to the folder of features {cache} ({error.strerror}).\n"
            "Name another one with --feature_cache."
        ) from error


def _extract(
    images: ImageList,
    hparams: Mapping[str, Any],
    spec: FeatureSpec,
    folder: Path,
    weights: Path | None,
    device: torch.device,
) -> None:
    """Compute the features of ``images`` into ``folder``, and show how far that is."""
    from ndcl_domainbed.testbed import networks
    from ndcl_domainbed.testbed.datasets.images.transforms import view_transforms

    network = frozen_backbone(hparams)
    mean, std = normalization_of(hparams)
    about = {
        "weights": networks.describe_weights(network),
        "weights_file": asdict(WeightsFile.read(weights)) if weights else None,
        "normalization": {"mean": list(mean), "std": list(std)},
        "versions": extraction.versions(device),
    }
    title = f"Features of {images.dataset}"
    print(
        f"{title}: {len(images):,} images, {1 + spec.views} views each, "
        f"by {spec.backbone} at {spec.image_size} pixels, into {folder}",
        flush=True,
    )
    views = view_transforms(hparams)
    extraction.extract(images, spec, network, views, folder, device, about, ProgressLine(title))


def frozen_backbone(hparams: Mapping[str, Any]) -> nn.Module:
    """Return the network that makes the features of a run with ``hparams``; always the same.

    It maps images (B, 3, H, W) to (B, D). Raises InputError if its weights cannot be loaded.
    """
    from ndcl_domainbed.testbed import networks

    size = int(hparams["image_size"])
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(NETWORK_SEED)
        unfrozen = {**hparams, "frozen": False, "resnet_dropout": 0.0}
        network = networks.Featurizer((3, size, size), unfrozen)
    source = getattr(network, "weights_source", None)
    if source is not None and source.digest is None:  # random weights have one here: a seed's
        network.weights_source = replace(source, digest=digest_of(network.state_dict()))
    return network


def weights_file(hparams: Mapping[str, Any]) -> Path | None:
    """Return the file that the weights of the backbone come from; None if a hub keeps it."""
    if hparams["weights"]:
        return Path(hparams["weights"])
    if not hparams["pretrained"]:
        return None
    return packaged_file(str(hparams["backbone"]).removeprefix("timm:"))
