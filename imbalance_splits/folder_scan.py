"""Images counted by their file names in a folder ``domain/class/image``, and remembered.

What a folder holds is kept in a small file of the user's cache, with the time at which each
folder last changed; a scan reads again only the folders that have changed since.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from imbalance_splits.errors import InputError
from imbalance_splits.whole_files import write_whole

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""The file names that count as images, the same as torchvision's ImageFolder."""

_SETTLED_NS = 2_000_000_000
"""A folder that changed this shortly before a scan may change again unseen: clocks are coarse."""


class _Listing(NamedTuple):
    """What one folder holds directly, when that last changed, and which folder it was.

    Folders unpacked from an archive may have changed at the same time, and may change places.
    """

    changed_ns: int
    inode: int
    images: int
    folders: list[str]


def is_image(name: str) -> bool:
    """Say whether a file of this name counts as an image."""
    return name.lower().endswith(IMAGE_EXTENSIONS)


def fail(error: OSError) -> NoReturn:
    """Raise ``error``: what os.walk is to do with a folder that it cannot read."""
    raise error


def folder_label_counts(root: Path | str, cache: Path | None = None) -> dict[str, dict[str, int]]:
    """Return domain -> class -> number of images below ``root``, both sorted by name.

    Folders whose names begin with a dot are neither domains nor classes. ``cache`` is the file
    that remembers the scan; by default one of the user's cache folder. Raises InputError if
    there is no such folder, it cannot be read, or it has no domains.
    """
    root = Path(root)
    cache = default_cache(root) if cache is None else cache
    known = _read_cache(cache)
    seen: dict[str, _Listing] = {}
    scan = _Scan(root, known, seen)
    try:
        counts = {
            domain: {name: scan.images_below(f"{domain}/{name}") for name in scan.shown(domain)}
            for domain in scan.shown("")
        }
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror}).") from None
    if not counts:
        raise InputError(f"{root}: no folders in it; images are looked for in domain/class/image.")
    _write_cache(cache, scan.settled())
    return counts


def default_cache(root: Path) -> Path:
    """Return the file of the user's cache folder that remembers ``root``."""
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # no home: below this nothing can be written
        base = os.devnull
    name = hashlib.md5(os.fsencode(root.resolve()), usedforsecurity=False).hexdigest()
    return Path(base) / "imbalance_splits" / f"{name}.json"


class _Scan:
    """One pass over a folder, which lists only what has changed since the last."""

    def __init__(self, root: Path, known: dict[str, _Listing], seen: dict[str, _Listing]) -> None:
        self.root, self.known, self.seen = root, known, seen
        self.started_ns = time.time_ns()

    def listing(self, folder: str) -> _Listing:
        """Return what ``folder``, a path below the root, holds directly."""
        found = (self.root / folder).stat()
        state = (found.st_mtime_ns, found.st_ino)
        listing = self.known.get(folder)
        if listing is None or listing[:2] != state:
            images, folders = 0, []
            with os.scandir(self.root / folder) as entries:
                for entry in entries:
                    if entry.is_dir():
                        folders.append(entry.name)
                    else:
                        images += is_image(entry.name)
            listing = _Listing(*state, images, sorted(folders))
        self.seen[folder] = listing
        return listing

    def shown(self, folder: str) -> list[str]:
        """Return the sub-folders whose names do not begin with a dot."""
        return [name for name in self.listing(folder).folders if not name.startswith(".")]

    def images_below(self, folder: str) -> int:
        """Return the number of images in ``folder`` and below it."""
        listing = self.listing(folder)
        return listing.images + sum(self.images_below(f"{folder}/{n}") for n in listing.folders)

    def settled(self) -> dict[str, _Listing]:
        """Return the listings that may be relied on at the next scan."""
        limit = self.started_ns - _SETTLED_NS
        return {name: item for name, item in self.seen.items() if item.changed_ns < limit}


def _read_cache(path: Path) -> dict[str, _Listing]:
    """Return the remembered listings; none if the file is missing or damaged."""
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        return {name: _Listing(*item) for name, item in data.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write_cache(path: Path, listings: dict[str, _Listing]) -> None:
    """Remember ``listings``; a cache that cannot be written is done without."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(listings, separators=(",", ":")))
    except (OSError, InputError):
        return
