"""Keeps the downloads of pretrained weights from hanging where there is no network.

torchvision, timm and torch.hub download weights at their first use and keep them. Without a
network they try for minutes, timm even for weights that it has.
"""

from __future__ import annotations

import functools
import importlib
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import torch

SECONDS = 5.0
"""How long a host may take to answer."""

_Download = Callable[..., Any]


@contextmanager
def quick_to_fail() -> Iterator[None]:
    """Have the libraries use the weights that are there, and give up on a silent host in seconds.

    While the block runs, a download from a host that does not answer is an OSError.
    """
    ask = functools.cache(_find_fault)
    timm = sys.modules.get("timm.models._hub")
    with ExitStack() as stack:
        stack.enter_context(_replaced(torch.hub, "urlopen", _checking_host(ask)))
        if timm is not None and timm.hf_hub_download is not None:
            patched = _cached_first(timm.hf_hub_download, ask)
            stack.enter_context(_replaced(timm, "hf_hub_download", patched))
        yield


@contextmanager
def _replaced(module: Any, name: str, function: _Download) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, function)
    try:
        yield
    finally:
        setattr(module, name, original)


def _find_fault(url: str) -> str | None:
    """Return why the host of ``url`` cannot be used, None if it answers.

    It is asked in a thread: looking up its name knows no time limit.
    """
    parts = urlsplit(url)
    answer: list[str | None] = []

    def ask() -> None:
        try:
            request = Request(f"{parts.scheme}://{parts.netloc}", method="HEAD")
            urlopen(request, timeout=SECONDS).close()
            answer.append(None)
        except HTTPError:  # an answer, though not a friendly one
            answer.append(None)
        except OSError as error:
            reason = getattr(error, "reason", error)
            # It does answer, and the library that downloads has certificates of its own.
            has_answered = isinstance(reason, ssl.SSLError)
            answer.append(None if has_answered else f"{parts.netloc} does not answer: {reason}")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(SECONDS + 1)
    return answer[0] if answer else f"{parts.netloc} does not answer within {SECONDS:.0f} s"


def _checking_host(check: Callable[[str], str | None]) -> _Download:
    """Return ``urlopen`` that first sees whether the host answers."""

    def checking(request: Any, *args: Any, **options: Any) -> Any:
        fault = check(request if isinstance(request, str) else request.full_url)
        if fault is not None:
            raise URLError(fault)
        return urlopen(request, *args, **{"timeout": 60.0, **options})

    return checking


def _cached_first(download: _Download, check: Callable[[str], str | None]) -> _Download:
    """Return ``hf_hub_download`` that does not ask the Hub about a file that is here."""
    errors = importlib.import_module("huggingface_hub.utils")
    constants = importlib.import_module("huggingface_hub.constants")

    def cached_first(*args: Any, **options: Any) -> Any:
        try:
            return download(*args, **{**options, "local_files_only": True})
        except errors.LocalEntryNotFoundError:
            if constants.HF_HUB_OFFLINE:
                raise errors.LocalEntryNotFoundError("HF_HUB_OFFLINE is set") from None
            fault = check(constants.ENDPOINT)
            if fault is not None:
                raise errors.LocalEntryNotFoundError(fault) from None
            return download(*args, **options)

    return cached_first
