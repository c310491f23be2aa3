"""Who works on a job: claims. One process at a time holds the valid one.

A job's folder has a file ``claim.N.json`` for its N-th attempt, from 0. It is created exclusively
by the process that runs the job, and never removed while the job may run; so the claim with the
highest number counts, and to take a job over is to create the next number, which only one process
can. While the owner works it touches its claim; when it ends it writes how.

Whether an owner on this machine lives is asked of the system. An owner elsewhere is dead when its
claim has not been touched for ``TIMEOUT`` seconds by the clock of the file system that both share,
and has not moved while somebody watched it for ``WATCHED`` seconds; so a clock that jumps kills
nobody. A claim without content, of a process that died as it claimed, counts as one of these.
"""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

from ndcl_domainbed.processes import this_process
from ndcl_domainbed.run_folder import Claim, claim_path

HEARTBEAT = 15.0
"""Seconds from one touch of a claim to the next."""

TIMEOUT = 180.0
"""Seconds without a touch after which the owner on another machine may be dead."""

WATCHED = 3 * HEARTBEAT
"""Seconds for which such a claim is watched before it is taken over."""


class ClaimWatch:
    """Tells the dead owners of claims from the living; remembers what it has seen."""

    def __init__(self) -> None:
        self._unmoved: dict[Path, tuple[float, float]] = {}

    def owner_is_dead(self, claim: Claim) -> bool:
        """Whether nobody works on the job any longer, though the claim has no end."""
        here = claim.owner.runs_here() if claim.owner else None
        if here is not None:
            return not here
        touched = _read_mtime(claim.path)
        known, since = self._unmoved.get(claim.path, (None, 0.0))
        if known != touched:
            since = time.monotonic()
            self._unmoved[claim.path] = (touched, since)
        return is_stale(claim) and time.monotonic() - since >= WATCHED


def is_stale(claim: Claim) -> bool:
    """Whether the claim has not been touched for ``TIMEOUT`` seconds of the file system's clock."""
    return _file_system_time(claim.path.parent) - _read_mtime(claim.path) > TIMEOUT


def take(folder: Path, number: int) -> Claim | None:
    """Claim the job in ``folder`` for this process, as attempt ``number``.

    Returns None if another process has that attempt already. The folder is made if
    it is missing. Raises OSError, and leaves nothing, if the claim cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    claim = Claim(claim_path(folder, number), number, this_process(), time.time(), None)
    try:
        file = claim.path.open("x", encoding="utf-8")
    except (FileExistsError, FileNotFoundError):  # claimed by another, or the job was deleted
        return None
    try:
        with file:
            file.write(claim.to_json())
    except OSError:
        claim.path.unlink(missing_ok=True)
        raise
    return claim


def _read_mtime(path: Path) -> float:
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
