"""The flag ``--own_code``, which every command has: a Python file of the user's own.

What the file defines can then be named like what this package defines: see
:mod:`imbalance_splits.discovery`. The flag adds to the environment variable ``NDCL_OWN_CODE``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from imbalance_splits.discovery import use_files
from imbalance_splits.errors import InputError

FLAG = "--own_code"


def take_flag(argv: Iterable[str]) -> list[str]:
    """Use the files that the flag names in ``argv``; return the other words.

    It must be known before the parser of a command is made, which may list what the files define.
    Raises InputError for a file that does not exist.
    """
    files: list[str] = []
    others: list[str] = []
    words = iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        if name != FLAG:
            others.append(word)
            continue
        file = value if equals else next(words, "")
        if not file:
            raise InputError(f"{FLAG} names no file: write {FLAG} FILE.py.")
        files.append(file)
    use_files(files)
    return others


class _Use(argparse.Action):
    """Takes the flag where a parser is used by itself, without the console command."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        use_files([values])


def add_flag(parser: argparse.ArgumentParser) -> None:
    """Have ``parser`` show the flag in its help; it leaves nothing in the result."""
    parser.add_argument(
        FLAG, action=_Use, default=argparse.SUPPRESS, metavar="FILE",
        help="a Python file with algorithms, settings, datasets, launchers or diagnostics of your "
        "own; may be given several times",
    )  # fmt: skip
