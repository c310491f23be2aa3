"""Fetches a file from the first of its addresses that gives it."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from ndcl_domainbed.downloading.downloaders import Monitor, Patience, bytes_in, download
from ndcl_domainbed.downloading.errors import SourceFailure, disk_errors_as_input_errors
from ndcl_domainbed.downloading.recipe import RemoteFile
from ndcl_domainbed.downloading.view import Report, View

_MIN_DIGITS = 32  # 128 bits: a shorter beginning of a digest would prove too little
_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|head)", re.IGNORECASE)
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


class Tried(NamedTuple):
    """An address, or another thing that was tried, and why it failed."""

    what: str
    reason: str


class NotFetched(Exception):
    """No address gave the file; ``tried`` lists them with what each answered."""

    def __init__(self, tried: Iterable[Tried]) -> None:
        self.tried = list(tried)
        super().__init__(f"{len(self.tried)} addresses failed")


def fetch(file: RemoteFile, folder: Path, view: View, patience: Patience) -> Path:
    """Return the path of the fetched file, in ``folder``.

    A file that is there already is kept; a download that was interrupted continues at the same
    address. Raises NotFetched, or InputError if the local disk does not take the file.
    """
    final = folder / file.name
    if final.is_file() and _find_defect(final, file, view) is None:
        view.say(f"{file.name}: here already")
        return final
    tried: list[Tried] = []
    for url in file.urls:
        view.say(f"{file.name}: fetching from {host(url)}")
        try:
            _fetch_from(url, file, final, view, patience)
        except SourceFailure as failure:
            tried.append(Tried(url, str(failure)))
            view.say(f"{file.name}: {host(url)}: {failure}")
        else:
            return final
    raise NotFetched(tried)


def host(url: str) -> str:
    """Return the name of the host of an address."""
    return urlsplit(url).netloc or url


def _fetch_from(url: str, file: RemoteFile, final: Path, view: View, patience: Patience) -> None:
    """Fetch from one address. What arrives is kept in a folder of its own until it is whole."""
    part = final.parent / f"{file.name}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part"
    with disk_errors_as_input_errors(part):
        part.mkdir(exist_ok=True)
        with view.progress(file.name) as report:
            monitor = Monitor(file, part, report, patience, has_fallback=url != file.urls[-1])
            try:
                arrived = download(url, part, monitor, patience)
            finally:
                if not bytes_in(part):
                    shutil.rmtree(part)
        defect = _find_defect(arrived, file, view)
        if defect is not None:
            shutil.rmtree(part)
            raise SourceFailure(defect)
        arrived.replace(final)
        for kept in final.parent.glob(f"{file.name}.*.part"):
            shutil.rmtree(kept)


def _find_defect(path: Path, file: RemoteFile, view: View) -> str | None:
    """Return how the file at ``path`` differs from what is known of it."""
    size = path.stat().st_size
    with path.open("rb") as content:
        start = content.read(1 << 16)
    if _PAGE.match(start):
        title = _TITLE.search(start)
        said = " ".join(title[1].decode("utf-8", "replace").split()) if title else ""
        return "sent a web page and not the file" + (f': "{said[:200]}"' if said else "")
    if file.size is not None and size != file.size:
        return f"gave a file of {size:,} bytes and not of {file.size:,}"
    if file.digest is None:
        return None
    with view.progress(f"{file.name}: checking") as report:
        return _compare_digest(path, file.digest, report)


def _compare_digest(path: Path, digest: str, report: Report) -> str | None:
    """Return how the file differs from ``digest``, or None if it matches.

    ``digest`` is ``algorithm:hexadecimal``; the first 32 hexadecimal digits are enough. Raises
    ValueError for a digest of another form.
    """
    algorithm, _, expected = digest.partition(":")
    if len(expected) < _MIN_DIGITS:
        raise ValueError(f"{digest}: write algorithm:digits, with {_MIN_DIGITS} digits or more")
    hasher = hashlib.new(algorithm, usedforsecurity=False)
    total = path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            hasher.update(chunk)
            report(file.tell(), total)
    found = hasher.hexdigest()
    if found.startswith(expected.lower()):
        return None
    return f"gave a file whose {algorithm} begins with {found[:12]} and not {expected[:12]}"
