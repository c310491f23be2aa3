"""Brings one file from one address to the disk: by gdown, or by huggingface_hub."""

from __future__ import annotations

import importlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imbalance_splits.errors import InputError
from ndcl_domainbed.downloading.addresses import HubFile, first_line, parse_hub_file
from ndcl_domainbed.downloading.errors import SourceFailure
from ndcl_domainbed.downloading.recipe import RemoteFile
from ndcl_domainbed.downloading.view import Report, amount


@dataclass(frozen=True)
class Patience:
    """When to give up on an address.

    ``timeout`` is the longest silence in seconds. After ``max_stalls`` tries in a row that brought
    nothing new the address has failed; before each the pause, ``pause`` seconds at first, doubles.
    An address that brings less than ``min_rate`` bytes a second over ``window`` seconds is left
    if there is another.
    """

    timeout: float = 30.0
    max_stalls: int = 3
    pause: float = 2.0
    min_rate: float = 8192.0
    window: float = 120.0


def download(url: str, part: Path, monitor: Monitor, patience: Patience) -> Path:
    """Fetch ``url`` into the folder ``part``, or what is missing there; return the file.

    Raises SourceFailure if the address does not give the file (what has arrived is kept if the
    host can continue), and what ``monitor`` raises.
    """
    in_hub = parse_hub_file(url)
    if in_hub is not None:
        return _from_hub(in_hub, part, monitor)
    return _by_gdown(url, part, monitor, patience)


def _by_gdown(url: str, part: Path, monitor: Monitor, patience: Patience) -> Path:
    """Fetch by gdown, which knows Google Drive, and continue after a cut connection."""
    gdown, errors = importlib.import_module("gdown"), importlib.import_module("requests.exceptions")
    most = stalls = 0
    while True:
        before = bytes_in(part)
        try:
            gdown.download(
                url, str(part / "file"), quiet=True, use_cookies=False, resume=True,
                timeout=patience.timeout, progress=monitor,
            )  # fmt: skip
            return part / "file"
        except gdown.exceptions.FileURLRetrievalError as error:
            raise SourceFailure(_describe_drive_error(error)) from None
        except gdown.exceptions.DownloadError as error:
            reason = first_line(error)
            if error.__cause__ is None and bytes_in(part) == before:
                _restart(part)  # the host does not continue in the middle
        except errors.RequestException as error:
            reason = _describe(error, errors)
            if not _may_pass(error, errors):
                raise SourceFailure(reason) from None
        after = bytes_in(part)
        stalls = 0 if after > most else stalls + 1
        most = max(most, after)
        if stalls >= patience.max_stalls:
            raise SourceFailure(reason)
        if stalls:
            time.sleep(patience.pause * 2 ** (stalls - 1))


def _from_hub(file: HubFile, part: Path, monitor: Monitor) -> Path:
    """Fetch by huggingface_hub, which also continues after a cut connection."""
    library = importlib.import_module("huggingface_hub")
    try:
        return Path(
            library.hf_hub_download(
                file.repository, file.path, repo_type="dataset", revision=file.revision,
                endpoint=file.hub, local_dir=part, tqdm_class=_bar_class(monitor),
            )
        )  # fmt: skip
    except (InputError, SourceFailure):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        causes = (error, error.__cause__)
        responses = [getattr(cause, "response", None) for cause in causes]
        answers = [_describe_response(response) for response in responses if response is not None]
        raise SourceFailure(answers[0] if answers else first_line(error)) from None


def _bar_class(report: Report) -> Any:
    """Return a progress bar that shows nothing and calls ``report``."""
    plain: Any = importlib.import_module("tqdm").tqdm

    class Bar(plain):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})
            self.total, self.n = options.get("total"), options.get("initial", 0)

        def update(self, n: float = 1) -> None:
            self.n += n
            report(int(self.n), self.total)

    return Bar


class Monitor:
    """Shows how far a download is, and ends one that cannot end well."""

    def __init__(
        self,
        file: RemoteFile,
        part: Path,
        report: Report,
        patience: Patience,
        *,
        has_fallback: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file, self._part, self._report, self._patience = file, part, report, patience
        self._has_fallback, self._clock = has_fallback, clock
        self._since, self._first = clock(), 0

    def __call__(self, done: int, total: int | None) -> None:
        """Note that ``done`` of ``total`` bytes are here.

        Raises SourceFailure for a file of the wrong size or an address that is too slow, and
        InputError if the disk has no room.
        """
        size = self._file.size
        if size is not None and total not in (None, size):
            raise SourceFailure(f"has a file of {total:,} bytes and not of {size:,}")
        if total is not None:
            _check_space(self._part, self._file.name, total - done)
        self._report(done, total)
        seconds = self._clock() - self._since
        if done < self._first:
            self._first = done
        if seconds < self._patience.window:
            return
        rate = (done - self._first) / seconds
        if self._has_fallback and rate < self._patience.min_rate:
            raise SourceFailure(f"brings only {amount(rate)} a second")
        self._since, self._first = self._clock(), done


def _check_space(part: Path, name: str, missing: int) -> None:
    """Raise InputError if the disk has no room for the missing bytes."""
    free = shutil.disk_usage(part).free
    if missing > free:
        raise InputError(
            f"{part.parent}: {amount(missing)} more are needed for {name} and {amount(free)} are "
            "free. Make room; what has arrived is kept."
        )


def bytes_in(part: Path) -> int:
    """Return the size of all files in the folder ``part``."""
    return sum(path.stat().st_size for path in part.rglob("*") if path.is_file())


def _restart(part: Path) -> None:
    for path in part.iterdir():
        path.unlink()


def _may_pass(error: Any, errors: Any) -> bool:
    """Whether the same address may well answer the next time."""
    if isinstance(error, errors.HTTPError):
        status: int = error.response.status_code
        return status in (408, 425, 429) or status >= 500
    return isinstance(error, (errors.ConnectionError, errors.Timeout, errors.ChunkedEncodingError))


def _describe(error: Any, errors: Any) -> str:
    """Return a failure in a few words."""
    if isinstance(error, errors.HTTPError):
        return _describe_response(error.response)
    if isinstance(error, errors.Timeout) or "timed out" in str(error):
        return "no answer in time"
    return first_line(error).rpartition(": ")[2].rstrip("\"')>")


def _describe_response(response: Any) -> str:
    reason = getattr(response, "reason", "") or getattr(response, "reason_phrase", "")
    return f"HTTP {response.status_code} {reason}".strip()


def _describe_drive_error(error: Exception) -> str:
    """Return why Google Drive does not give a file: what gdown quotes, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.startswith("\t")]
    said = " ".join(line for line in lines if line and not line.startswith("http"))
    return f'Google Drive does not give the file: "{said[:200]}"'
