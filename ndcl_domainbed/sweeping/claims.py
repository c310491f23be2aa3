"""Who works on a job: claims, of which one process at a time holds the valid one.

A job's folder has a file ``claim.N.json`` for its N-th attempt, from 0. It is created atomically,
with its content, by the process that runs the job, and never removed while the job may run; so the
claim with the highest number counts, and to take a job over is to create the next number, which
only one process can. While the owner works it touches its claim; when it ends it writes how.

Whether an owner on this machine lives is asked of the system. An owner elsewhere is dead when its
claim has not been touched for ``TIMEOUT`` seconds by the clock of the file system that both share,
and has not moved while somebody watched it for ``WATCHED`` seconds; so a clock that jumps kills
nobody.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imbalance_splits.whole_files import whole_file
from ndcl_domainbed.sweeping.processes import Process, this_process

HEARTBEAT = 15.0
"""Seconds from one touch of a claim to the next."""

TIMEOUT = 180.0
"""Seconds without a touch after which the owner on another machine may be dead."""

WATCHED = 3 * HEARTBEAT
"""Seconds for which such a claim is watched before it is taken over."""

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)

DONE, FAILED, INTERRUPTED = "done", "failed", "interrupted"


@dataclass(frozen=True)
class End:
    """How an attempt ended: ``outcome`` is done, failed or interrupted.

    ``crashed`` tells an attempt that broke down, which may go well another time, from one that
    ended with an error of its own, which will come again. ``at`` is for people to read only.
    """

    outcome: str
    reason: str = ""
    crashed: bool = False
    at: float = 0.0


@dataclass(frozen=True)
class Claim:
    """A claim as it stands in the folder of a job; ``since`` is for people to read only."""

    path: Path
    number: int
    owner: Process | None
    since: float
    end: End | None

    def finish(self, outcome: str, reason: str = "", *, crashed: bool = False) -> None:
        """Write how the attempt ended. Only for its owner, or for the one who saw it die."""
        ended = dataclasses.replace(self, end=End(outcome, reason, crashed, time.time()))
        with whole_file(self.path) as partial:
            partial.write_text(_to_json(ended))

    def touch(self) -> None:
        """Show that the owner lives: set the file's time by the file system's clock."""
        os.utime(self.path)

    def is_lost(self) -> bool:
        """Whether another process has taken the job over, or the job was deleted."""
        return _path(self.path.parent, self.number + 1).exists() or not self.path.exists()


class Watch:
    """Tells the dead owners of claims from the living; remembers what it has seen."""

    def __init__(self) -> None:
        self._unmoved: dict[Path, tuple[float, float]] = {}

    def owner_is_dead(self, claim: Claim) -> bool:
        """Whether nobody works on the job any longer, though the claim has no end."""
        here = claim.owner.runs_here() if claim.owner else None
        if here is not None:
            return not here
        touched = _modified(claim.path)
        known, since = self._unmoved.get(claim.path, (None, 0.0))
        if known != touched:
            since = time.monotonic()
            self._unmoved[claim.path] = (touched, since)
        return is_stale(claim) and time.monotonic() - since >= WATCHED


def is_stale(claim: Claim) -> bool:
    """Whether the claim has not been touched for ``TIMEOUT`` seconds of the file system's clock."""
    return _file_system_time(claim.path.parent) - _modified(claim.path) > TIMEOUT


def take(folder: Path, number: int) -> Claim | None:
    """Claim the job in ``folder`` for this process, as attempt ``number``.

    Returns None if another process has that attempt already. The folder is made if it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    claim = Claim(_path(folder, number), number, this_process(), time.time(), None)
    if not _create(claim.path, _to_json(claim), folder / f".claim.{number}.{uuid.uuid4().hex}"):
        return None
    _remove_asides(folder, number)
    return claim


def _remove_asides(folder: Path, before: int) -> None:
    """Remove what processes left that were killed while they claimed an earlier attempt."""
    for name in files_in(folder):
        match = re.fullmatch(r"\.claim\.(\d+)\.[0-9a-f]{32}", name)
        if match and int(match[1]) < before:
            (folder / name).unlink(missing_ok=True)


def _create(path: Path, text: str, aside: Path) -> bool:
    """Create a file with its content at once, by way of ``aside``; return False if it exists."""
    try:
        aside.write_text(text)
        os.link(aside, path)
    except FileExistsError:
        return _was_linked(aside)
    except FileNotFoundError:  # a later attempt has been claimed already, or the job deleted
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _create_empty(path, text)
    finally:
        aside.unlink(missing_ok=True)
    return True


def _was_linked(aside: Path) -> bool:
    """Whether the file was made after all, and only the file server's answer was lost."""
    try:
        return aside.stat().st_nlink == 2
    except FileNotFoundError:
        return False


def _create_empty(path: Path, text: str) -> bool:
    """Do the same on a file system without links, where the content comes a moment later."""
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def latest(folder: Path, names: Iterable[str] | None = None) -> Claim | None:
    """Return the claim of the last attempt, or None if the job was never started.

    ``names`` are the names of the folder's files, where they are known already.
    """
    numbers = _numbers(files_in(folder) if names is None else names)
    return _read(_path(folder, numbers[-1]), numbers[-1]) if numbers else None


def all_claims(folder: Path) -> list[Claim]:
    """Return the claims of all attempts at a job, the first one first."""
    return [_read(_path(folder, number), number) for number in _numbers(files_in(folder))]


def files_in(folder: Path) -> list[str]:
    """Return the names of the files in ``folder``; none if there is no such folder."""
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []


def _numbers(names: Iterable[str]) -> list[int]:
    """Return the numbers of the claims among the files of a folder, sorted."""
    found = (re.fullmatch(r"claim\.(\d+)\.json", name) for name in names)
    return sorted(int(match[1]) for match in found if match)


def _path(folder: Path, number: int) -> Path:
    return folder / f"claim.{number}.json"


def _read(path: Path, number: int) -> Claim:
    """Return the claim in a file; one that cannot be read has an unknown owner and no end."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        owner = Process(**content["owner"])
        end = End(**content["end"]) if content["end"] else None
        return Claim(path, number, owner, content["since"], end)
    except (OSError, ValueError, KeyError, TypeError):
        return Claim(path, number, None, 0.0, None)


def _to_json(claim: Claim) -> str:
    content = {
        "owner": dataclasses.asdict(claim.owner) if claim.owner else None,
        "since": claim.since,
        "end": dataclasses.asdict(claim.end) if claim.end else None,
    }
    return json.dumps(content, sort_keys=True, indent=1) + "\n"


def _modified(path: Path) -> float:
    """Return when a file was last touched; opening it makes a network file system look again."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return 0.0


def _file_system_time(folder: Path) -> float:
    """Return what time it is by the clock that stamps the files in ``folder``.

    By this machine's for one who cannot write there, and so only looks and takes nothing over.
    """
    probe = folder / f".clock.{uuid.uuid4().hex}"
    try:
        with probe.open("wb") as file:
            now = os.fstat(file.fileno()).st_mtime
        probe.unlink(missing_ok=True)
    except OSError:
        return time.time()
    return now
