"""Images counted by their file names in the folders of a dataset, and remembered.

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
from imbalance_splits.layout import Entries, class_folders, domain_folders, is_image
from imbalance_splits.whole_files import write_whole

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


def fail(error: OSError) -> NoReturn:
    """Raise ``error``: what os.walk is to do with a folder that it cannot read."""
    raise error


def folder_label_counts(root: Path | str, cache: Path | None = None) -> dict[str, dict[str, int]]:
    """Return domain -> class -> number of images below ``root``, both sorted by name.

    Which folders are the classes: see :func:`~imbalance_splits.layout.class_folders`. Folders
    whose names begin with a dot are neither domains nor classes. ``cache`` is the file that
    remembers the scan; by default one of the user's cache folder. Raises InputError if there is
    no such folder, it cannot be read, it has no domains, or its layout is ambiguous.
    """
    root = Path(root)
    cache = default_cache(root) if cache is None else cache
    known = _read_cache(cache)
    seen: dict[str, _Listing] = {}
    scan = _Scan(root, known, seen)
    try:
        layout = class_folders(domain_folders(root, scan.entries), scan.entries)
        counts = {
            domain: {name: scan.images_below(folder) for name, folder in row.items()}
            for domain, row in layout.items()
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

    def listing(self, folder: Path) -> _Listing:
        """Return what ``folder``, the root or one below it, holds directly."""
        name = folder.relative_to(self.root).as_posix()
        found = folder.stat()
        state = (found.st_mtime_ns, found.st_ino)
        listing = self.known.get(name)
        if listing is None or listing[:2] != state:
            images, folders = 0, []
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir():
                        folders.append(entry.name)
                    else:
                        images += is_image(entry.name)
            listing = _Listing(*state, images, sorted(folders))
        self.seen[name] = listing
        return listing

    def entries(self, folder: Path) -> Entries:
        """Return what ``folder`` holds directly, without hidden folders."""
        listing = self.listing(folder)
        shown = [name for name in listing.folders if not name.startswith(".")]
        return Entries(shown, listing.images)

    def images_below(self, folder: Path) -> int:
        """Return the number of images in ``folder`` and below it."""
        listing = self.listing(folder)
        return listing.images + sum(self.images_below(folder / name) for name in listing.folders)

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
