"""Is a file the one that is meant?"""

from __future__ import annotations

import hashlib
from pathlib import Path

from ndcl_domainbed.downloading.view import Report

_CHUNK = 1 << 22
_LEAST_DIGITS = 32  # 128 bits: a shorter beginning of a digest would prove too little


def mismatch(path: Path, digest: str, report: Report) -> str | None:
    """Return how the file differs from ``digest``, or None if it is the one.

    ``digest`` is ``algorithm:hexadecimal``; of the hexadecimal digits the first 32 are enough.
    Raises ValueError for a digest of another form.
    """
    algorithm, _, expected = digest.partition(":")
    if len(expected) < _LEAST_DIGITS:
        raise ValueError(f"{digest}: write algorithm:digits, with {_LEAST_DIGITS} digits or more")
    hasher = hashlib.new(algorithm, usedforsecurity=False)
    total = path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
            report(file.tell(), total)
    found = hasher.hexdigest()
    if found.startswith(expected.lower()):
        return None
    return f"gave a file whose {algorithm} begins with {found[:12]} and not {expected[:12]}"
