"""Datasets given as a list of (domain, class, file)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from imbalance_splits.errors import InputError
from imbalance_splits.file_list import FileList, read_file_list
from imbalance_splits.layout import check_class_count
from ndcl_domainbed.testbed.datasets.base import size_attributes
from ndcl_domainbed.testbed.datasets.images import folders, reading
from ndcl_domainbed.testbed.datasets.images.dataset import Found, ImageFileDataset

LIST_SUFFIXES = (".json", ".csv")
"""The file names that count as lists."""


class ListedImages(ImageFileDataset):
    """The images that a list names; domains and classes are sorted by name."""

    FILES: ClassVar[FileList]

    def find_images(self, root: str) -> tuple[list[str], Found]:
        """Return the classes and the images of the list."""
        classes = list(self.FILES.classes)
        label = {name: index for index, name in enumerate(classes)}
        images = self.FILES.domains.values()
        return classes, [(None, [(str(path), label[name]) for path, name in p]) for p in images]


def list_dataset(name: str, path: Path) -> type[ListedImages]:
    """Return a dataset class called ``name`` for the images that the file ``path`` lists.

    The size of the images is decided as in
    :func:`~ndcl_domainbed.testbed.datasets.image_folders.folder_dataset`. Raises InputError for
    a list that cannot be read, has fewer than two domains or classes, or lacks a class in one of
    the domains.
    """
    files = read_file_list(path.absolute())
    if len(files.domains) < 2:
        raise InputError(f"{path} lists only the domain {', '.join(files.domains)}; it needs two.")
    counts = files.label_counts()
    folders.same_classes(
        {domain: list(row) for domain, row in counts.items()}, str(path), "classes"
    )
    check_class_count(files.classes, str(path))
    first = next(iter(files.domains.values()))[0][0]
    attributes = {
        "__doc__": f"The images listed in {path}.",
        "ENVIRONMENTS": list(files.domains),
        "FILES": files,
        **size_attributes(reading.kept_size(str(first))),
    }
    return type(name, (ListedImages,), attributes)
