"""Brings one file from one address to the disk, through cut connections."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from imbalance_splits.errors import InputError
from ndcl_domainbed.downloading import pages
from ndcl_domainbed.downloading.connection import (
    Interruption,
    NothingBeyond,
    SourceFailure,
    connect,
    reading,
)
from ndcl_domainbed.downloading.part import Origin, Part
from ndcl_domainbed.downloading.view import Report, amount

_CHUNK = 1 << 17
_LONGEST_PAGE = 1 << 20
_MOST_PAGES = 2


@dataclass(frozen=True)
class Patience:
    """When to give up on an address.

    ``timeout`` is the longest silence in seconds. After ``fruitless`` tries in a row that brought
    nothing new the address has failed; before each the pause, ``pause`` seconds at first, doubles.
    An address that brings less than ``slowest`` bytes a second over ``window`` seconds is left
    if there is another.
    """

    timeout: float = 30.0
    fruitless: int = 3
    pause: float = 2.0
    slowest: float = 8192.0
    window: float = 120.0


class Transfer:
    """The fetching of one file from ``url`` into ``part``.

    ``known`` says that the file's digest will be compared, so that any beginning may be gone on
    with; ``size`` is the size it must have, None if that is not known. ``hurried`` says that
    there is another address to go to if this one is slow.
    """

    def __init__(
        self,
        url: str,
        part: Part,
        report: Report,
        patience: Patience,
        *,
        known: bool = False,
        size: int | None = None,
        hurried: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = self._address = url
        self._part, self._report, self._patience = part, report, patience
        self._known, self._size, self._hurried = known, size, hurried
        self._clock = clock
        self._pages = 0
        self._anew = False

    def run(self) -> None:
        """Fetch until the part is whole.

        Raises SourceFailure if the address does not give the file (what has arrived is kept),
        and InputError if the local disk does not take it.
        """
        part = self._part
        most, tries = part.size, 0
        while not part.is_whole:
            try:
                self._connection()
                return
            except NothingBeyond:
                self._anew = True
                reason = "has a shorter file than what is kept of it here"
            except Interruption as interruption:
                reason = str(interruption)
            tries = 0 if part.size > most else tries + 1
            most = max(most, part.size)
            if tries >= self._patience.fruitless:
                raise SourceFailure(reason)
            if tries:
                time.sleep(self._patience.pause * 2 ** (tries - 1))

    def _connection(self) -> None:
        """Fetch what one connection brings; return if that makes the part whole."""
        with closing(connect(self._address, self._range(), self._patience.timeout)) as response:
            if response.headers.get_content_type() != "text/html":
                self._receive(response, self._agreed_total(response))
                return
            with reading():
                page = response.read(_LONGEST_PAGE).decode("utf-8", "replace")
        self._pages += 1
        if self._pages > _MOST_PAGES:
            raise SourceFailure("sends one web page after the other and not the file")
        self._address = pages.address_beyond(page, self._address)
        self._connection()

    def _range(self) -> dict[str, str]:
        """Return the headers that ask for the rest; none if the whole file is to be sent."""
        part, origin = self._part, self._part.origin
        same = origin.validator if origin.url == self._url else None
        unclear = not self._known and same is None and origin.total is None
        if part.size == 0 or unclear or self._anew:
            return {}
        headers = {"Range": f"bytes={part.size}-"}
        return headers | {"If-Range": same} if same is not None else headers

    def _agreed_total(self, response: Any) -> int | None:
        """Return the whole size that the host announces, the part being ready to be appended to.

        What an earlier try brought is given up only here, when another beginning comes.
        """
        part = self._part
        first, total = _content_range(response)
        if self._size is not None and total not in (None, self._size):
            raise SourceFailure(f"has a file of {total:,} bytes and not of {self._size:,}")
        if response.status != 206:  # nothing had arrived, or the host does not go on in the middle
            part.start(Origin(self._url, _validator(response), total))
            self._anew = False
        elif first != part.size or part.origin.total not in (None, total):
            self._anew = True
            raise Interruption("has another version of the file than before")
        if total is not None:
            _check_space(part, total - part.size)
        return total

    def _receive(self, response: Any, total: int | None) -> None:
        """Append what comes, until the host has no more."""
        part, pace = self._part, _Pace(self._patience, self._clock)
        with part.writing() as append:
            while True:
                with reading():
                    chunk = response.read1(_CHUNK)
                if not chunk:
                    break
                if part.size == 0 and pages.looks_like_page(chunk):
                    raise pages.refusal(chunk.decode("utf-8", "replace"))
                append(chunk)
                self._report(part.size, total)
                if self._hurried:
                    pace.check(len(chunk))
        if total is not None and part.size != total:
            raise Interruption(f"the connection ended after {part.size:,} of {total:,} bytes")


class _Pace:
    """Measures, window by window, whether an address is too slow to stay with."""

    def __init__(self, patience: Patience, clock: Callable[[], float]) -> None:
        self._patience, self._clock = patience, clock
        self._begun, self._bytes = clock(), 0

    def check(self, arrived: int) -> None:
        """Count bytes; raise SourceFailure at the end of a window that brought too few."""
        self._bytes += arrived
        seconds = self._clock() - self._begun
        if seconds < self._patience.window:
            return
        if self._bytes < self._patience.slowest * seconds:
            raise SourceFailure(f"brings only {amount(self._bytes / seconds)} a second")
        self._begun, self._bytes = self._clock(), 0


def _content_range(response: Any) -> tuple[int | None, int | None]:
    """Return the first byte that a response brings, and the whole size of the file."""
    if response.status != 206:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if match is None:
        return None, None
    return int(match[1]), int(match[2]) if match[2] != "*" else None


def _validator(response: Any) -> str | None:
    """Return the host's mark of this version of the file, for If-Range."""
    tag: str | None = response.headers.get("ETag")
    if tag and not tag.startswith("W/"):
        return tag
    date: str | None = response.headers.get("Last-Modified")
    return date


def _check_space(part: Part, missing: int) -> None:
    """Raise InputError if the disk has no room for the missing bytes."""
    free = shutil.disk_usage(part.path.parent).free
    if missing > free:
        raise InputError(
            f"{part.path.parent}: {amount(missing)} more are needed for {part.path.stem} and "
            f"{amount(free)} are free. Make room; what has arrived is kept."
        )
