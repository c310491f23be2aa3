"""A process that parses the files named on its standard input (see ``parallel.py``)."""

from __future__ import annotations

import sys

import orjson

from ndcl_domainbed.results.folders import RunFile
from ndcl_domainbed.results.store import parsed_store


def main() -> None:
    """Read [[folder, size, mtime_ns, inode], ...] and write the archive of a store."""
    named = orjson.loads(sys.stdin.buffer.read())
    parsed_store(
        RunFile(folder, size, mtime_ns, inode, done=False)
        for folder, size, mtime_ns, inode in named
    ).write(sys.stdout.buffer)


if __name__ == "__main__":
    main()
