"""Fetches a file from the first of its addresses that gives it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from ndcl_domainbed.downloading.checksums import mismatch
from ndcl_domainbed.downloading.connection import SourceFailure
from ndcl_domainbed.downloading.part import Part
from ndcl_domainbed.downloading.recipe import RemoteFile
from ndcl_domainbed.downloading.transfer import Patience, Transfer
from ndcl_domainbed.downloading.view import View, amount


class Tried(NamedTuple):
    """An address, or another thing that was tried, and why it did not do."""

    what: str
    reason: str


class NotFetched(Exception):
    """No address gave the file; ``tried`` says which there were and what each answered."""

    def __init__(self, tried: Iterable[Tried]) -> None:
        self.tried = list(tried)
        super().__init__(f"{len(self.tried)} addresses failed")


def fetch(file: RemoteFile, folder: Path, view: View, patience: Patience) -> Path:
    """Return the path of the fetched file, in ``folder``.

    A file that is there already is kept; a part of one is gone on with, whichever address it
    came from. Raises NotFetched, or InputError if the local disk does not take the file.
    """
    final = folder / file.name
    if final.is_file() and _defect(final, file, view) is None:
        view.say(f"{file.name}: here already")
        return final
    tried: list[Tried] = []
    for url in file.urls:
        try:
            _fetch_from(url, file, final, view, patience, hurried=url != file.urls[-1])
            return final
        except SourceFailure as failure:
            tried.append(Tried(url, str(failure)))
            view.say(f"{file.name}: {host(url)}: {failure}")
    raise NotFetched(tried)


def host(url: str) -> str:
    """Return the name of the host of an address."""
    return urlsplit(url).netloc or url


def _fetch_from(
    url: str, file: RemoteFile, final: Path, view: View, patience: Patience, *, hurried: bool
) -> None:
    """Fetch from one address; a file that was gone on with and is wrong is fetched once anew."""
    part = Part(final)
    while True:
        begun_with = part.size
        kept = f", going on after {amount(begun_with)}" if begun_with else ""
        view.say(f"{file.name}: fetching from {host(url)}{kept}")
        with view.progress(file.name) as report:
            Transfer(
                url, part, report, patience,
                known=file.digest is not None, size=file.size, hurried=hurried,
            ).run()  # fmt: skip
        defect = _defect(part.path, file, view)
        if defect is None:
            part.finish()
            return
        part.discard()
        if not begun_with:
            raise SourceFailure(defect)


def _defect(path: Path, file: RemoteFile, view: View) -> str | None:
    """Return how the file at ``path`` differs from what is known of it."""
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return f"gave a file of {size:,} bytes and not of {file.size:,}"
    if file.digest is None:
        return None
    with view.progress(f"{file.name}: checking") as report:
        return mismatch(path, file.digest, report)
