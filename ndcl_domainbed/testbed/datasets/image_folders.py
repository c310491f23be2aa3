"""Datasets in DomainBed's folder layout ``domain/class/image``: known ones and any other."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from imbalance_splits.errors import InputError
from imbalance_splits.layout import check_class_count
from ndcl_domainbed.testbed.datasets.base import size_attributes
from ndcl_domainbed.testbed.datasets.images import folders, reading
from ndcl_domainbed.testbed.datasets.images.dataset import Found, ImageFileDataset


class ImageFolders(ImageFileDataset):
    """Images in files; domains and classes are folders, each sorted by name."""

    FOLDER: ClassVar[str]
    """Path of the folder; relative to the data directory unless absolute."""

    def find_images(self, root: str) -> tuple[list[str], Found]:
        """Return the classes and the images. Raises InputError if folders or images are missing."""
        folder = Path(root) / self.FOLDER
        if not folder.is_dir():
            raise InputError(
                f"no folder {folder}, where {type(self).__name__} is looked for. "
                "Name the directory that holds it with --data_dir."
            )
        paths = [folder / name for name in self.domain_folders(folder)]
        rows = folders.find_class_folders(paths)
        samples = [folders.domain_samples(row) for row in rows]
        return list(rows[0]), list(zip(paths, samples, strict=True))

    @classmethod
    def domain_folders(cls, folder: Path) -> list[str]:
        """Return the names of the domains' folders, in the order of ``ENVIRONMENTS``."""
        return cls.ENVIRONMENTS


class PublishedFolders(ImageFolders):
    """A published dataset; its domains go by short names in flags and keys."""

    DOMAIN_FOLDERS: ClassVar[list[str]]
    """The usual names of the domains' folders, sorted."""

    CHECKPOINT_FREQ: ClassVar[int] = 300

    @classmethod
    def domain_folders(cls, folder: Path) -> list[str]:
        """Return the names of the domains' folders, having checked that they are all there."""
        return folders.check_domains(folder, cls.__name__, cls.DOMAIN_FOLDERS)


class VLCS(PublishedFolders):
    """VLCS (Fang et al., 2013): Caltech101, LabelMe, SUN09 and VOC2007; 5 classes."""

    ENVIRONMENTS: ClassVar[list[str]] = ["C", "L", "S", "V"]
    FOLDER: ClassVar[str] = "VLCS"
    DOMAIN_FOLDERS: ClassVar[list[str]] = ["Caltech101", "LabelMe", "SUN09", "VOC2007"]


class PACS(PublishedFolders):
    """PACS (Li et al., 2017): art, cartoons, photographs and sketches; 7 classes."""

    ENVIRONMENTS: ClassVar[list[str]] = ["A", "C", "P", "S"]
    FOLDER: ClassVar[str] = "PACS"
    DOMAIN_FOLDERS: ClassVar[list[str]] = ["art_painting", "cartoon", "photo", "sketch"]


class OfficeHome(PublishedFolders):
    """Office-Home (Venkateswara et al., 2017): art, clip art, products, photographs; 65 classes."""

    ENVIRONMENTS: ClassVar[list[str]] = ["A", "C", "P", "R"]
    FOLDER: ClassVar[str] = "office_home"
    DOMAIN_FOLDERS: ClassVar[list[str]] = ["Art", "Clipart", "Product", "Real World"]


class Office31(PublishedFolders):
    """Office-31 (Saenko et al., 2010): product pages, a reflex camera, a webcam; 31 classes.

    Either layout will do: the official one, ``domain/images/class``, or ``domain/class``.
    """

    ENVIRONMENTS: ClassVar[list[str]] = ["A", "D", "W"]
    FOLDER: ClassVar[str] = "Office31"
    DOMAIN_FOLDERS: ClassVar[list[str]] = ["amazon", "dslr", "webcam"]


class OfficeCaltech10(PublishedFolders):
    """Office-Caltech-10 (Gong et al., 2012): the ten classes that Office-31 and Caltech-256 share.

    Its amazon, dslr and webcam are the images of ten classes of Office-31.
    """

    ENVIRONMENTS: ClassVar[list[str]] = ["A", "C", "D", "W"]
    FOLDER: ClassVar[str] = "OfficeCaltech10"
    DOMAIN_FOLDERS: ClassVar[list[str]] = ["amazon", "caltech10", "dslr", "webcam"]


class TerraIncognita(PublishedFolders):
    """Terra Incognita (Beery et al., 2018): camera traps at four places; 10 classes."""

    ENVIRONMENTS: ClassVar[list[str]] = ["L100", "L38", "L43", "L46"]
    FOLDER: ClassVar[str] = "terra_incognita"
    DOMAIN_FOLDERS: ClassVar[list[str]] = [
        "location_100", "location_38", "location_43", "location_46",
    ]  # fmt: skip


class DomainNet(PublishedFolders):
    """DomainNet (Peng et al., 2019): six styles of pictures; 345 classes."""

    ENVIRONMENTS: ClassVar[list[str]] = ["clip", "info", "paint", "quick", "real", "sketch"]
    CHECKPOINT_FREQ: ClassVar[int] = 1000
    FOLDER: ClassVar[str] = "domain_net"
    DOMAIN_FOLDERS: ClassVar[list[str]] = [
        "clipart", "infograph", "painting", "quickdraw", "real", "sketch",
    ]  # fmt: skip


def folder_dataset(name: str, folder: Path) -> type[ImageFolders]:
    """Return a dataset class called ``name`` for the images in ``folder``.

    If the first image (first domain, first class, by name) is 28 x 28 or 32 x 32, the images
    keep that size; otherwise they become 224 x 224. Raises InputError if there are fewer than
    two domains or two classes, or the first class of the first domain has no image.
    """
    domains = folders.subfolders(folder)
    if len(domains) < 2:
        raise InputError(
            f"{folder} has {len(domains)} sub-folder(s); at least two domains are needed, "
            f"as {folder}/<domain>/<class>/<image>."
        )
    rows = folders.find_class_folders([folder / domain for domain in domains])
    classes = list(rows[0])
    check_class_count(classes, str(folder))
    path, _ = folders.domain_samples({classes[0]: rows[0][classes[0]]})[0]
    attributes = {
        "__doc__": f"The images in {folder}.",
        "ENVIRONMENTS": domains,
        "FOLDER": str(folder.resolve()),
        **size_attributes(reading.kept_size(path)),
    }
    return type(name, (ImageFolders,), attributes)
