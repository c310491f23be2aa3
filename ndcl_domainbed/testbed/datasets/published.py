"""The datasets of DomainBed's suite and its neighbors: published image folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from imbalance_splits.errors import InputError, join_names
from imbalance_splits.image_tree import scan_images
from imbalance_splits.published import DOMAINS
from ndcl_domainbed.testbed.datasets.image_files import Found, ImageFileDataset, label_files


class PublishedFolders(ImageFileDataset):
    """A published dataset; its domains go by short names in flags and keys.

    As in DomainBed the order of the folders decides, so any names will do that are as many and
    begin with the same letters; pixels are read as there.
    """

    FOLDER: ClassVar[str]
    """Path of the folder, relative to the data directory."""

    DOMAINS: ClassVar[Mapping[str, str]]
    """The usual folder of each domain, in the order of both."""

    CHECKPOINT_FREQ: ClassVar[int] = 300
    HIDDEN_COLORS: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.ENVIRONMENTS = list(cls.DOMAINS)

    @classmethod
    def find_images(cls, root: str) -> tuple[list[str], Found]:
        """Return the classes and the images. Raises InputError if folders or images are missing."""
        name = getattr(cls, "BASE_NAME", cls.__name__)  # that of an imbalanced version names both
        folder = Path(root) / cls.FOLDER
        if not folder.is_dir():
            raise InputError(
                f"no folder {folder}, where {name} is looked for.\n"
                f"Name the directory that holds {cls.FOLDER} with --data_dir, or run: "
                f"ndcl-domainbed download --dataset {name} --data_dir {root}"
            )
        tree = scan_images(folder)
        usual, found = list(cls.DOMAINS.values()), list(tree.images)
        if [domain[0].lower() for domain in found] != [domain[0].lower() for domain in usual]:
            missing = [domain for domain in usual if domain not in found]
            surplus = [domain for domain in found if domain not in usual]
            raise InputError(
                f"{folder} is not {name}, which has the domain folders {', '.join(usual)}.\n"
                f"Missing: {join_names(missing)}. Not a domain: {join_names(surplus)}."
            )
        return label_files(tree, every_class=True)


class VLCS(PublishedFolders):
    """VLCS (Fang et al., 2013): Caltech101, LabelMe, SUN09 and VOC2007; 5 classes."""

    DOMAINS: ClassVar[Mapping[str, str]] = DOMAINS["VLCS"]
    FOLDER: ClassVar[str] = "VLCS"


class PACS(PublishedFolders):
    """PACS (Li et al., 2017): art, cartoons, photographs and sketches; 7 classes."""

    DOMAINS: ClassVar[Mapping[str, str]] = DOMAINS["PACS"]
    FOLDER: ClassVar[str] = "PACS"


class OfficeHome(PublishedFolders):
    """Office-Home (Venkateswara et al., 2017): art, clip art, products, photographs; 65 classes."""

    DOMAINS: ClassVar[Mapping[str, str]] = DOMAINS["OfficeHome"]
    FOLDER: ClassVar[str] = "office_home"


class Office31(PublishedFolders):
    """Office-31 (Saenko et al., 2010): product pages, a reflex camera, a webcam; 31 classes.

    Either layout will do: the official one, ``domain/images/class``, or ``domain/class``.
    """

    DOMAINS: ClassVar[Mapping[str, str]] = DOMAINS["Office31"]
    FOLDER: ClassVar[str] = "Office31"


class OfficeCaltech10(PublishedFolders):
    """Office-Caltech-10 (Gong et al., 2012): the ten classes that Office-31 and Caltech-256 share.

    Its amazon, dslr and webcam are the images of ten classes of Office-31.
    """

    DOMAINS: ClassVar[Mapping[str, str]] = DOMAINS["OfficeCaltech10"]
    FOLDER: ClassVar[str] = "OfficeCaltech10"


class TerraIncognita(PublishedFolders):
    """Terra Incognita (Beery et al., 2018): camera traps at four places; 10 classes."""

    DOMAINS: ClassVar[Mapping[str, str]] = {
        "L100": "location_100",
        "L38": "location_38",
        "L43": "location_43",
        "L46": "location_46",
    }
    FOLDER: ClassVar[str] = "terra_incognita"


class DomainNet(PublishedFolders):
    """DomainNet (Peng et al., 2019): six styles of images; 345 classes."""

    DOMAINS: ClassVar[Mapping[str, str]] = DOMAINS["DomainNet"]
    CHECKPOINT_FREQ: ClassVar[int] = 1000
    FOLDER: ClassVar[str] = "domain_net"
