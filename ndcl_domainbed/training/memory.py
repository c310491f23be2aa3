"""How the C library keeps the memory that a step frees."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt (malloc.h)."""

_KEPT = 2**31 - 1
_FROM_HEAP = 32 * 2**20
"""The largest blocks that glibc can be told to take from the heap."""


def keep_freed_memory() -> bool:
    """Have this process keep memory that it frees, and tell whether the C library can do so.

    On a CPU, the activations of an update are blocks of megabytes. glibc gives such blocks back to
    the system when they are freed, and the next update has them mapped and zeroed again, page by
    page. The process is not larger at its largest for keeping them. Only glibc (Linux) has this.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _FROM_HEAP)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT))
