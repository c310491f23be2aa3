"""One connection to a host, and which of its failures are worth another try."""

from __future__ import annotations

import http.client
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError, URLError

_AGENT = "Mozilla/5.0 (compatible; ndcl-domainbed)"  # some hosts turn Python's own name away
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_LASTING_CAUSES = (ConnectionRefusedError,)


class SourceFailure(Exception):
    """An address does not give the file; the message says why. Another one should be tried."""


class Interruption(Exception):
    """A passing failure; the same address may well answer the next time."""


class NothingBeyond(Exception):
    """The host has no bytes where it was asked to go on."""


def connect(url: str, headers: Mapping[str, str], timeout: float) -> Any:
    """Open ``url`` and return the response, to be closed by the caller.

    Raises SourceFailure, Interruption, or NothingBeyond if the host refuses the asked range.
    """
    if not url.startswith(("http://", "https://")):
        raise SourceFailure("is no http address")
    asked = {"User-Agent": _AGENT, "Accept-Encoding": "identity", **headers}
    request = urllib.request.Request(url, headers=asked)
    try:
        return urllib.request.urlopen(request, timeout=timeout)
    except HTTPError as error:
        with error:
            if error.code == 416:
                raise NothingBeyond from None
            kind = Interruption if error.code in _PASSING else SourceFailure
            raise kind(f"HTTP {error.code} {error.reason}".strip()) from None
    except URLError as error:
        raise _judged(error.reason) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _judged(error) from None


@contextmanager
def reading() -> Iterator[None]:
    """Turn what can go wrong while a response is read into an Interruption."""
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        raise Interruption(_plain(error)) from None


def _judged(cause: Any) -> Exception:
    """Return the exception for a connection that was not made."""
    passing = isinstance(cause, (TimeoutError, ConnectionError, http.client.HTTPException))
    if passing and not isinstance(cause, _LASTING_CAUSES):
        return Interruption(_plain(cause))
    return SourceFailure(_plain(cause))


def _plain(cause: Any) -> str:
    """Return a failure in a few words."""
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, http.client.IncompleteRead):
        return "the connection was cut"
    return str(getattr(cause, "strerror", None) or cause or type(cause).__name__)
