"""One process at a time in a folder, by a lock that the system drops when its holder dies."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ndcl_domainbed.errors import InputError

_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})
_held: set[int] = set()


def _close_in_child() -> None:
    """Close the locks in a forked process: a loader process must not outlive a dead run's lock."""
    for handle in _held:
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock file ``path`` during the block, and remove it at the end if it is still there.

    If another process holds it, wait for that one's end with ``wait``, else raise InputError with
    who it is. Where there are no locks, say so on standard error and go on without. Raises
    InputError, too, if the file cannot be written.
    """
    try:
        handle = _acquired(path, wait)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    try:
        yield
    finally:
        if handle is not None:
            with suppress(OSError):  # a lock file that stays locks nobody out
                if _is_at(handle, path):  # else the folder was moved, and this is another's lock
                    path.unlink(missing_ok=True)
            _held.discard(handle)
            os.close(handle)


def _acquired(path: Path, wait: bool) -> int | None:
    """Return the open lock file, or None where there are no locks."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not _lock(handle, path, wait):
                path.unlink(missing_ok=True)
                os.close(handle)
                return None
            if _is_at(handle, path):  # else its holder has removed it in the meantime
                os.ftruncate(handle, 0)
                os.write(handle, _this_process().encode())
                _held.add(handle)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(handle: int, path: Path, wait: bool) -> bool:
    """Lock the file; return False where there are no locks. Raises InputError if it is held."""
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise
            print(f"Waiting for {_holder(handle)}, which works on {path.parent}.", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
    except BlockingIOError:
        raise InputError(
            f"{path.parent} is in use by {_holder(handle)}.\n"
            "Wait for its end, or use another folder."
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        print(
            f"{path.parent} is on a file system without locks: let no second process use it.",
            file=sys.stderr,
        )
        return False
    return True


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _this_process() -> str:
    return json.dumps({"process": os.getpid(), "host": platform.node()}) + "\n"


def _holder(handle: int) -> str:
    try:
        who = json.loads(os.pread(handle, 4096, 0))
        return f"process {who['process']} on {who['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
