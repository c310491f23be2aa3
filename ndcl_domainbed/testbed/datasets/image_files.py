"""Datasets of image files: any folder ``domain/class/image``, any list of files."""

from __future__ import annotations

import copy
import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from imbalance_splits.errors import InputError
from imbalance_splits.file_list import FileList, read_file_list
from imbalance_splits.image_tree import ImageTree, describe_left_out, list_domains, scan_images
from imbalance_splits.labels import check_dataset
from imbalance_splits.pixels import SMALL_SIZES, choose_size, read_rgb
from imbalance_splits.published import describe_twin
from ndcl_domainbed.hparams import SMALL_FOLDER
from ndcl_domainbed.testbed.datasets.base import SCALED_TO_ONE, MultiDomainDataset, preprocessing

Samples = list[tuple[str, int]]
"""Images of a domain: path and label, in the order of the labels, then of the paths."""

Found = list[tuple[Path | None, Samples]]
"""Of each domain its folder, if it has one, and its images."""


class ImageFileDataset(MultiDomainDataset):
    """Images in files, decoded when they are asked for.

    Small images keep the size of the class and are not augmented, unless ``hparams`` ask for
    another ``image_size``; all others are treated as large images, with the normalization that
    the network was trained with. ``notes`` are NOTES, and the choice of the size.
    """

    RESIZES: ClassVar[bool] = True

    HIDDEN_COLORS: ClassVar[bool] = False
    """Whether transparent pixels show the color hidden in them; otherwise they are white."""

    NOTES: ClassVar[list[str]] = []
    """What to know of the dataset before it is used, one line each."""

    SIZE_REASON: ClassVar[str] = ""
    """Why the images have the size IMAGE_SIZE, if that was chosen by their own sizes."""

    def __init__(self, root: str, test_envs: Sequence[int], hparams: Mapping[str, Any]) -> None:
        """List the images; none is decoded. Raises InputError if some are missing."""
        from ndcl_domainbed.testbed.datasets.images import transforms
        from ndcl_domainbed.testbed.datasets.images.files import ImageFiles
        from ndcl_domainbed.testbed.networks.normalization import normalization_of

        super().__init__(root, test_envs, hparams)
        size = self.input_shape[1]
        small = size == self.IMAGE_SIZE and size in SMALL_SIZES
        self._plain, augmenting = transforms.image_transforms(hparams, size, small=small)
        channels = SCALED_TO_ONE if small else normalization_of(hparams)
        self.preprocessing = preprocessing(size, *channels, hidden_colors=self.HIDDEN_COLORS)
        self.notes = list(self.NOTES)
        if self.SIZE_REASON:
            reason = self.SIZE_REASON if size == self.IMAGE_SIZE else "image_size says so"
            self.notes.append(f"images are used at {size}×{size}: {reason}")
        self.classes, found = self.find_images(root)
        self.num_classes = len(self.classes)
        read = functools.partial(
            read_rgb,
            hidden_colors=self.HIDDEN_COLORS,
            exif_rotation=bool(hparams.get("exif_rotation", False)),
        )
        self.datasets = []
        for index, (folder, samples) in enumerate(found):
            augment = hparams["data_augmentation"] and index not in test_envs
            transform = augmenting if augment else self._plain
            self.datasets.append(ImageFiles(samples, self.classes, transform, read, folder))

    @classmethod
    def find_images(cls, root: str) -> tuple[list[str], Found]:
        """Return the classes, sorted, and the images of the domains in environment order."""
        raise NotImplementedError

    @classmethod
    def count_images(cls, root: str) -> dict[str, dict[str, int]]:
        """Return domain -> class -> images, without importing torch."""
        classes, found = cls.find_images(root)
        counts = {}
        for domain, (_, samples) in zip(cls.ENVIRONMENTS, found, strict=True):
            sizes = Counter(label for _, label in samples)
            counts[domain] = {name: sizes[label] for label, name in enumerate(classes)}
        return counts

    def without_augmentation(self) -> ImageFileDataset:
        """Return the same images with the plain transform in every domain."""
        plain = copy.copy(self)
        plain.datasets = [copy.copy(domain) for domain in self.datasets]
        for domain in plain.datasets:
            domain.transform = self._plain
        return plain


def label_files(tree: ImageTree, *, every_class: bool = False) -> tuple[list[str], Found]:
    """Return the classes and the images of a tree.

    Raises InputError unless there are two domains, two classes, images in each domain and of each
    class (with ``every_class``: in each domain), and no broken link.
    """
    if tree.broken:
        raise InputError(
            f"{tree.root / tree.broken[0]} is a link that leads nowhere, or to a folder that "
            "contains it. Fix or delete it."
        )
    hint = (
        "\nImages are looked for in <domain>/<class>/<image>, with at most one more folder between "
        "domain and class."
    )
    check_dataset(tree.label_counts(), str(tree.root), every_class=every_class, hint=hint)
    classes = tree.classes
    found: Found = [
        (
            tree.root / domain,
            [(p, label) for label, name in enumerate(classes) for p in row.get(name, ())],
        )
        for domain, row in tree.images.items()
    ]
    return classes, found


class ImageFolders(ImageFileDataset):
    """The images in a folder; domains and classes are folders, each sorted by name."""

    TREE: ClassVar[ImageTree]

    @classmethod
    def find_images(cls, root: str) -> tuple[list[str], Found]:
        """Return the classes and the images of the folder."""
        return label_files(cls.TREE)


class ListedImages(ImageFileDataset):
    """The images that a list names; domains and classes are sorted by name."""

    FILES: ClassVar[FileList]

    @classmethod
    def find_images(cls, root: str) -> tuple[list[str], Found]:
        """Return the classes and the images of the list."""
        classes = list(cls.FILES.classes)
        label = {name: index for index, name in enumerate(classes)}
        domains = cls.FILES.domains.values()
        return classes, [(None, [(str(x.file), label[x.label]) for x in row]) for row in domains]


class _Lazy:
    """A class attribute that is computed when it is first read."""

    def __init__(self, compute: Callable[[], Any]) -> None:
        self.compute = functools.cache(compute)

    def __get__(self, instance: object, owner: type) -> Any:
        return self.compute()


def folder_dataset(name: str, folder: Path) -> type[ImageFolders]:
    """Return a dataset class called ``name`` for the images in ``folder``.

    Only the domains are listed now; the rest is scanned when it is needed, once, and refused as
    in :func:`label_files`. The images' size: see :func:`~imbalance_splits.pixels.choose_size`.
    Raises InputError for a folder that cannot be read.
    """
    root = folder.resolve()
    tree = functools.cache(lambda: scan_images(root))
    attributes = {
        "ENVIRONMENTS": list_domains(root),
        "TREE": _Lazy(tree),
        "FOLDER": str(root),
        "NOTES": _Lazy(lambda: describe_twin(tree().label_counts()) + describe_left_out(tree())),
    }
    return _make_class(ImageFolders, name, folder, lambda: label_files(tree())[1], attributes)


def list_dataset(name: str, path: Path) -> type[ListedImages]:
    """Return a dataset class called ``name`` for the images that the file ``path`` lists.

    Their size: see :func:`~imbalance_splits.pixels.choose_size`. Raises InputError for a list that
    cannot be read, or has fewer than two domains or classes.
    """
    files = read_file_list(path.absolute())
    check_dataset(files.label_counts(), str(path))
    parts = [[image.part for image in row] for row in files.domains.values()]
    attributes = {
        "ENVIRONMENTS": list(files.domains),
        "FILES": files,
        "FIXED_SPLIT": parts if files.has_split else None,
    }

    def found() -> Found:
        return [(None, [(str(image.file), 0) for image in row]) for row in files.domains.values()]

    return _make_class(ListedImages, name, path, found, attributes)


def _make_class(
    base: Any, name: str, place: Path, found: Callable[[], Found], attributes: dict[str, Any]
) -> Any:
    """Return a subclass of ``base``; small images get the hyper-parameters of small images."""
    size = functools.cache(
        lambda: choose_size(path for _, samples in found() for path, _ in samples)
    )
    sized = {
        "__doc__": f"The images of {place}.",
        "IMAGE_SIZE": _Lazy(lambda: size()[0]),
        "SIZE_REASON": _Lazy(lambda: size()[1]),
        "HPARAMS_LIKE": _Lazy(lambda: {28: SMALL_FOLDER, 32: "RotatedMNIST"}.get(size()[0])),
    }
    return type(name, (base,), sized | attributes)
