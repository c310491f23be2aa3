"""Web pages that a host sends where a file was asked for."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from ndcl_domainbed.downloading.connection import SourceFailure

_FORM = "download-form"  # Google Drive's question whether to fetch what it has not scanned
_ERRORS = ("uc-error-caption", "uc-error-subcaption")  # Google Drive's reason for a refusal


def looks_like_page(start: bytes) -> bool:
    """Say whether a file that starts like this is a web page."""
    head = start[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return head.startswith((b"<!doctype html", b"<html", b"<head"))


def address_beyond(page: str, url: str) -> str:
    """Return the address of the file that the page at ``url`` asks to confirm.

    Raises SourceFailure with what the page says if it is no such question, or if it leads to
    another host.
    """
    reader = _Reader()
    reader.feed(page)
    if reader.action is None:
        raise refusal(page)
    address = urlsplit(urljoin(url, reader.action))
    if not _same_site(address.hostname, urlsplit(url).hostname):
        raise SourceFailure(f"sent a web page that leads elsewhere, to {address.hostname}")
    query = dict(parse_qsl(address.query)) | reader.fields
    return urlunsplit(address._replace(query=urlencode(query)))


def refusal(page: str) -> SourceFailure:
    """Return the failure that a page stands for, with what it says."""
    reader = _Reader()
    reader.feed(page)
    said = f': "{reader.message()[:200]}"' if reader.message() else ""
    return SourceFailure(f"sent a web page and not the file{said}")


def _same_site(host: str | None, other: str | None) -> bool:
    """Say whether two hosts are the same, or both Google's."""
    return host == other or all((name or "").endswith(".google.com") for name in (host, other))


class _Reader(HTMLParser):
    """Picks the confirmation form, the title and Google Drive's error texts out of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note forms, hidden fields, and which text begins."""
        given = {name: value or "" for name, value in attrs}
        marks = [mark for mark in _ERRORS if mark in given.get("class", "").split()]
        if tag == "title" or marks:
            self._open = marks[0] if marks else tag
        elif tag == "form" and given.get("id") == _FORM:
            self.action = given.get("action", "")
        elif tag == "input" and self.action is not None and given.get("type") == "hidden":
            self.fields[given.get("name", "")] = given.get("value", "")

    def handle_data(self, data: str) -> None:
        """Keep the text that is of interest."""
        if self._open:
            self._texts[self._open] = f"{self._texts.get(self._open, '')} {data}"

    def handle_endtag(self, tag: str) -> None:
        """Close the text: captions and titles hold no other elements but links."""
        if tag in ("title", "p", "div"):
            self._open = ""

    def message(self) -> str:
        """Return what the page says, in one line."""
        return " ".join(" ".join(self._texts.values()).split())
