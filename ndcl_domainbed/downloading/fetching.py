"""Downloads a file from the first of its addresses that gives it."""

from __future__ import annotations

import hashlib
import importlib
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from imbalance_splits.errors import InputError
from ndcl_domainbed.downloading.progress import Report, show_progress
from ndcl_domainbed.downloading.recipe import GB, RemoteFile, SourceFailure

TIMEOUT = 30.0  # the longest silence of a host, in seconds
RETRIES = 4  # how often a cut connection is resumed
_MIN_DIGITS = 32  # 128 bits: a shorter beginning of a digest would prove too little
_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|head)", re.IGNORECASE)
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


def fetch(file: RemoteFile, folder: Path) -> Path:
    """Return the path of the downloaded file, in ``folder``.

    A file that is there already is kept, and an interrupted download resumes at the same address.
    Raises SourceFailure with a line for every address if none gives the file, and InputError if
    the disk has no room for it.
    """
    final = folder / file.name
    if final.is_file() and _find_defect(final, file) is None:
        print(f"{file.name}: already downloaded", flush=True)
        return final
    failures = []
    for url in file.urls:
        host = urlsplit(url).netloc or url
        print(f"{file.name}: downloading from {host}", flush=True)
        try:
            arrived = _fetch_from(url, file, folder)
        except SourceFailure as failure:
            print(f"{file.name}: {host}: {failure}", flush=True)
            failures.append(f"{url}: {failure}")
        else:
            return arrived.replace(final)
    raise SourceFailure("\n".join(failures))


def check_space(folder: Path, name: str, needed: int) -> None:
    """Raise InputError if the disk of ``folder`` has no room for ``needed`` bytes."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{folder}: {name} needs {needed / GB:.3g} GB more and {free / GB:.3g} GB are free.\n"
            "Make room and run the command again; finished downloads are kept."
        )


def _fetch_from(url: str, file: RemoteFile, folder: Path) -> Path:
    """Return the file that an address gives, if it is the right one."""
    arrived = folder / f"{file.name}.{hashlib.sha256(url.encode()).hexdigest()[:8]}"
    with show_progress(file.name) as show:

        def report(done: int, total: int | None) -> None:
            check_space(folder, file.name, (total or done) - done)
            show(done, total)

        _download(url, arrived, report)
    defect = _find_defect(arrived, file)
    if defect is not None:
        arrived.unlink()
        raise SourceFailure(defect)
    return arrived


def _download(url: str, path: Path, report: Report) -> None:
    """Download by gdown, which knows Google Drive and resumes what was cut."""
    gdown, requests = importlib.import_module("gdown"), importlib.import_module("requests")
    failure = ""
    for retries in (0, RETRIES, 0):
        try:
            gdown.download(
                url, str(path), quiet=True, use_cookies=False, resume=True, timeout=TIMEOUT,
                retries=retries, progress=report,
            )  # fmt: skip
            return
        except (gdown.exceptions.DownloadError, requests.exceptions.RequestException) as error:
            failure = describe_failure(error)
        parts = [part for part in path.parent.glob(f"{path.name}*.part") if part.stat().st_size]
        if not parts:
            break
        if "byte range" in failure:  # the host cannot resume
            parts[0].unlink()
    raise SourceFailure(failure)


def describe_failure(error: Any) -> str:
    """Return in a line why gdown or requests got no file.

    >>> describe_failure(ConnectionError())
    'ConnectionError'
    """
    if type(error).__name__ == "FileURLRetrievalError":  # Google Drive's own words, wrapped
        return " ".join(str(error).split())[:300]
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code} {response.reason}"
    if "timed out" in str(error):
        return "no answer in time"
    text = str(error) or type(error).__name__
    system = re.search(r"\[Errno -?\d+\] ([\w ]+)", text)
    return system[1] if system else text.splitlines()[0].rstrip(".")[:300]


def _find_defect(path: Path, file: RemoteFile) -> str | None:
    """Return how the file at ``path`` differs from what is known about it."""
    size = path.stat().st_size
    with path.open("rb") as content:
        start = content.read(1 << 16)
    if _PAGE.match(start):
        title = _TITLE.search(start)
        shown = " ".join(title[1].decode("utf-8", "replace").split()) if title else ""
        return "sent a web page instead of the file" + (f': "{shown[:200]}"' if shown else "")
    if file.size is not None and size != file.size:
        return f"gave a file of {size:,} bytes instead of {file.size:,}"
    if file.digest is None:
        return None
    algorithm, _, expected = file.digest.partition(":")
    if len(expected) < _MIN_DIGITS:
        raise ValueError(f"{file.digest}: write algorithm:digits, {_MIN_DIGITS} digits or more")
    hasher = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as content:
        while chunk := content.read(1 << 22):
            hasher.update(chunk)
    found = hasher.hexdigest()
    if found.startswith(expected.lower()):
        return None
    return f"gave a file whose {algorithm} begins with {found[:12]} instead of {expected[:12]}"
