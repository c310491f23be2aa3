"""Which process on which machine, and whether it still runs."""

from __future__ import annotations

import functools
import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process, told apart from every other one at any time on any machine.

    ``machine`` names the running kernel and its process numbering: two containers, or a machine
    before and after a restart, are two machines here. ``started`` tells processes apart that had
    the same number one after the other.
    """

    host: str
    machine: str
    pid: int
    started: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    def runs_here(self) -> bool | None:
        """Whether the process runs on this machine; None if it belongs to another."""
        if self.machine != this_machine():
            return None
        return start_of(self.pid) == self.started


def this_process() -> Process:
    """Return the calling process."""
    return process(os.getpid())


def process(pid: int) -> Process:
    """Return the process with the number ``pid`` on this machine."""
    return Process(socket.gethostname(), this_machine(), pid, start_of(pid) or "")


@functools.cache
def this_machine() -> str:
    """Return what identifies this machine since it was started, and its process numbering."""
    parts = [socket.gethostname()]
    boot = Path("/proc/sys/kernel/random/boot_id")
    if boot.exists():
        parts.append(boot.read_text().strip())
    space = Path("/proc/self/ns/pid")
    if space.exists():
        parts.append(str(space.stat().st_ino))
    return " ".join(parts)


def start_of(pid: int) -> str | None:
    """Return when the process ``pid`` started, in the system's own terms; None if it is gone.

    A process that has ended and only waits for its parent to notice is gone.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self").exists() else _start_from_ps(pid)
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _start_from_ps(pid: int) -> str | None:
    """Ask ``ps``, where there is no /proc."""
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    plain = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}  # ps writes the time in these
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=plain)
    return answer.stdout.strip() or None


def holds_lock(path: Path) -> bool:
    """Whether a process of this machine holds the lock file ``path``, as the system lists it.

    A run holds one in its folder, also one that no sweep has started. Asking does not touch the
    lock. Where the system has no list, nobody is known to hold it.
    """
    try:
        lines = Path("/proc/locks").read_text().splitlines()
        inode = path.stat().st_ino
    except OSError:
        return False
    found = (line.split() for line in lines if "FLOCK" in line and "->" not in line)
    return any(words[5].rpartition(":")[2] == str(inode) for words in found)


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
