"""One process at a time in a folder, by a lock that the system drops when its holder dies."""

from __future__ import annotations

import errno
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ndcl_domainbed.errors import InputError

_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})


@contextmanager
def locked(path: Path, *, wait: str | None = None) -> Iterator[None]:
    """Hold the lock file ``path`` during the block; processes forked meanwhile do not hold it.

    If another process holds it, wait for its end and say that it ``wait``s (such as 'computes the
    features'), or raise InputError without ``wait``. On a file system without locks, say so on
    standard error and continue: a lock file alone would outlive a process that is killed. Raises
    InputError, too, if the file cannot be written.
    """
    lock = FileLock(path, timeout=0, fallback_to_soft=False)
    held = None
    try:
        has_locks = _acquire(lock, path, wait)
        held = path.stat() if has_locks else None
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):  # a lock file that stays locks nobody out
                # Else the folder moved, and this is another process's lock; or others wait at it.
                if wait is None and held and os.path.samestat(held, path.stat()):
                    path.unlink()
            lock.release()


def _acquire(lock: FileLock, path: Path, wait: str | None) -> bool:
    """Acquire the lock; return False on a file system without locks."""
    try:
        try:
            lock.acquire()
        except Timeout:
            if wait is None:
                raise
            print(f"Waiting: {_read_holder(path)} {wait}.", flush=True)
            lock.acquire(timeout=-1)
        path.write_text(json.dumps({"process": os.getpid(), "host": platform.node()}) + "\n")
    except Timeout:
        raise InputError(
            f"{path.parent} is in use by {_read_holder(path)}.\n"
            "Wait until it ends, or use another folder."
        ) from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise InputError(f"cannot write {path}: {error.strerror}") from error
        print(
            f"{path.parent} is on a file system without locks: let no second process use it.",
            file=sys.stderr,
        )
        path.unlink(missing_ok=True)
        return False
    return True


def _read_holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        return f"process {holder['process']} on {holder['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
