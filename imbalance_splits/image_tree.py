"""The one scanner of image folders: ``domain/class/image``, or with one folder between.

Some datasets are published as ``domain/images/class/image`` (Office-31, for example). Names that
begin with a dot, and the folders that operating systems leave behind (:data:`SYSTEM_FOLDERS`), are
left out at every level: ``.ipynb_checkpoints``, ``._001.png``, ``__MACOSX``. Links are followed.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imbalance_splits.errors import InputError, join_names

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""The file names that count as images, the same as torchvision's ImageFolder."""

SYSTEM_FOLDERS = ("__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information")

Layout = dict[str, dict[str, Path]]
"""domain -> class -> folder; domains in their given order, classes sorted by name."""

Lister = Callable[[Path], tuple[list[str], list[str]]]
"""From a folder to the names of its folders and files, both sorted."""


def is_image(name: str) -> bool:
    """Whether a file of this name counts as an image.

    >>> [is_image(name) for name in ("001.PNG", "001.txt", "._001.png")]
    [True, False, False]
    """
    return name.lower().endswith(IMAGE_EXTENSIONS) and not name.startswith(".")


@dataclass
class ImageTree:
    """What lies below ``root``; no image is opened.

    ``layout`` has the class folders; ``images`` the paths of the images, domain -> class -> (N,),
    in the order of torchvision's ImageFolder, which the seeds of DomainBed's splits refer to. The
    others are paths relative to ``root``: ``skipped``, the folders between a domain and its
    classes; ``stray``, files in a class folder that are no images, and files outside the class
    folders; ``left_out``, hidden files and folders, pipes and the like; ``broken``, links that lead
    nowhere or to a folder that contains them; ``has_links``, whether there are others.
    """

    root: Path
    layout: Layout = field(default_factory=dict)
    images: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    stray: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    has_links: bool = False

    @property
    def classes(self) -> list[str]:
        """The classes of all domains together, sorted."""
        return sorted({name for row in self.layout.values() for name in row})

    def label_counts(self) -> dict[str, dict[str, int]]:
        """Return domain -> class -> number of images; 0 for a class that the domain lacks."""
        return {
            domain: {name: len(row.get(name, ())) for name in self.classes}
            for domain, row in self.images.items()
        }

    def _list(self, folder: Path) -> tuple[list[str], list[str]]:
        """Return the folders and files in ``folder``, and note what is left out."""
        folders: list[str] = []
        files: list[str] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                _check_name(entry)
                if entry.name.startswith(".") or entry.name in SYSTEM_FOLDERS:
                    self.left_out.append(self._relative_name(entry.path))
                elif entry.is_symlink() and not _leads_on(Path(entry.path)):
                    self.broken.append(self._relative_name(entry.path))
                elif not (entry.is_dir() or entry.is_file()):  # a pipe, say: to read it would hang
                    self.left_out.append(self._relative_name(entry.path))
                else:
                    self.has_links |= entry.is_symlink()
                    (folders if entry.is_dir() else files).append(entry.name)
        return sorted(folders), sorted(files)

    def _relative_name(self, path: str | Path) -> str:
        return Path(path).relative_to(self.root).as_posix()

    def _images_below(self, folder: Path, lister: Lister) -> list[str]:
        """Return the images in ``folder`` and below it, sorted by folder, then by name."""
        pending, found = [str(folder)], []
        while pending:
            parent = pending.pop()
            folders, files = lister(Path(parent))
            found.append((parent, files))
            pending += [f"{parent}/{name}" for name in folders]
        paths = [(f"{parent}/{name}", name) for parent, names in sorted(found) for name in names]
        self.stray += [self._relative_name(path) for path, name in paths if not is_image(name)]
        return [path for path, name in paths if is_image(name)]


def _check_name(entry: os.DirEntry[str]) -> None:
    """Raise InputError for a name that is not UTF-8, which no JSON, CSV or picture can hold."""
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        shown = entry.path.encode(errors="backslashreplace").decode()
        raise InputError(f"the name of {shown} is not UTF-8: rename it.") from None


def _leads_on(link: Path) -> bool:
    """Whether a link leads to a file, or to a folder in which the way to the link does not lie."""
    if not link.exists():
        return False
    if not link.is_dir():
        return True
    way = {folder.resolve() for folder in link.absolute().parents}
    return link.resolve() not in way.union(*(folder.parents for folder in way))


def scan_images(root: Path | str) -> ImageTree:
    """Return the images below ``root``, having read each folder once.

    Raises InputError if there is no such folder, one cannot be read, there is no domain, or it
    is ambiguous which folders are the classes (see :func:`class_folders`).
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"no folder {root}; name the directory that holds it.")
    tree = ImageTree(root)
    try:
        lister = functools.cache(tree._list)
        names, _ = lister(root)
        if not names:
            raise _empty(root)
        domains = {name: root / name for name in names}
        tree.layout = class_folders(domains, lister)
        parents = [next(iter(row.values())).parent for row in tree.layout.values() if row]
        skipped = [parent for parent in parents if parent not in domains.values()]
        tree.skipped = [tree._relative_name(path) for path in skipped]
        for folder in [*domains.values(), *skipped]:
            tree.stray += [tree._relative_name(folder / name) for name in lister(folder)[1]]
        for domain, row in tree.layout.items():
            tree.images[domain] = {name: tree._images_below(at, lister) for name, at in row.items()}
    except OSError as error:
        raise _unreadable(error) from error
    for paths in (tree.stray, tree.left_out, tree.broken):
        paths.sort()
    return tree


def list_domains(root: Path) -> list[str]:
    """Return the names of the domains' folders. Raises InputError if there are none to read."""
    try:
        names = list_visible(root)[0]
    except OSError as error:
        raise _unreadable(error) from error
    if not names:
        raise _empty(root)
    return names


def _empty(root: Path) -> InputError:
    return InputError(
        f"{root}: no folders in it; images are looked for in <domain>/<class>/<image>."
    )


def _unreadable(error: OSError) -> InputError:
    return InputError(f"cannot read the folder {error.filename} ({error.strerror}).")


def list_visible(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of the folders and files in ``folder`` that are not left out."""
    return ImageTree(folder)._list(folder)


def class_folders(domains: Mapping[str, Path], lister: Lister = list_visible) -> Layout:
    """Return the class folders of every domain, given domain -> folder.

    The classes are the sub-folders of a domain. If a domain has a single sub-folder that holds
    only folders, that level is skipped and the classes are the folders in it. A folder that is
    a class of another domain is never skipped. Raises InputError for a single sub-folder that
    holds both images and folders, and OSError for a folder that cannot be read.
    """
    children = {domain: lister(folder)[0] for domain, folder in domains.items()}
    single = {
        domain: lister(domains[domain] / names[0])
        for domain, names in children.items()
        if len(names) == 1
    }
    classes = {name for names in children.values() if len(names) > 1 for name in names}
    classes |= {children[domain][0] for domain, (folders, _) in single.items() if not folders}
    layout: Layout = {}
    for domain, parent in domains.items():
        names = children[domain]
        if domain in single and names[0] not in classes:
            parent, (names, files) = parent / names[0], single[domain]
            if any(map(is_image, files)):
                raise InputError(
                    f"{parent} is the only folder of its domain and holds both images and folders: "
                    "it may be a class, or a level above the classes.\n"
                    "Move its images into class folders, or its sub-folders away."
                )
        layout[domain] = {name: parent / name for name in names}
    return layout


def describe_left_out(tree: ImageTree) -> list[str]:
    """Return a line that names what is left out of a tree, if anything is."""
    if not tree.left_out:
        return []
    return [f"left out, as hidden or left behind by a system: {join_names(tree.left_out)}"]
