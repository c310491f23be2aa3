"""The seeds of DomainBed's protocol."""

from __future__ import annotations

import hashlib


def seed_hash(*args: object) -> int:
    """Return an integer in [0, 2**31) that depends on all of ``args``.

    It is the MD5 digest of the text that Python prints for the tuple, modulo 2**31, as in
    DomainBed. Pass plain ints and strings: a NumPy scalar prints its type and changes the seed.

    >>> seed_hash("PACS", "ERM", [0], 1, 0)
    267397799
    """
    digest = hashlib.md5(str(args).encode("utf-8"), usedforsecurity=False).hexdigest()
    return int(digest, 16) % 2**31
