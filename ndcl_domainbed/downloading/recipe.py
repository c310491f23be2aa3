"""What must be known to download a dataset: its files, their addresses, its layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imbalance_splits.published import label_counts, published_datasets

GB = 10**9


class SourceFailure(Exception):
    """A source does not give the dataset; the message says why. The next one should be tried."""


@dataclass(frozen=True)
class RemoteFile:
    """One file and the addresses that serve the very same bytes, tried in their order.

    ``digest`` is ``algorithm:hexadecimal``, for example ``md5:b1c1…``, or the first 32 or more
    digits of one; ``size`` is in bytes. Either is None if no public source states it.
    """

    name: str
    urls: tuple[str, ...]
    digest: str | None = None
    size: int | None = None


Arrange = Callable[["Recipe", Sequence[Path], Path], Path]
"""Makes the dataset from the downloaded files in an empty folder; returns the domains' folder.

Raises SourceFailure if the files are not what was expected.
"""


@dataclass(frozen=True)
class Way:
    """One way to a dataset: files that are all needed, and how they become its folder.

    ``files`` may be a function that asks a host which files exist. ``arrange`` None unpacks
    archives of image folders. ``note`` is what a user should know about this copy.
    """

    files: tuple[RemoteFile, ...] | Callable[[], tuple[RemoteFile, ...]]
    arrange: Arrange | None = None
    note: str | None = None


@dataclass(frozen=True)
class Recipe:
    """How to get one dataset. The ways are tried in order until one succeeds.

    ``folder`` is its place in the data directory, ``domains`` the names of the folders in it.
    ``classes`` are the names of the class folders; left out, those of the published label
    counts. ``aliases`` are other names that copies give to the domains. An archive that unpacks
    to more than ``largest`` bytes is refused.
    """

    dataset: str
    folder: str
    domains: tuple[str, ...]
    summary: str
    paper: str
    terms: str
    ways: tuple[Way, ...]
    largest: int
    classes: tuple[str, ...] = ()
    aliases: dict[str, str] = field(default_factory=dict)
    note: str | None = None

    def class_names(self) -> tuple[str, ...]:
        """Return the names of the class folders that every domain must have."""
        if self.classes or self.dataset not in published_datasets():
            return self.classes
        return tuple(next(iter(label_counts(self.dataset).values())))
