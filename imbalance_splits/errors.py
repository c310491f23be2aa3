"""The one error that bad input raises, and how it names the choices there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager


class InputError(Exception):
    """Something the user gave cannot be used.

    The message is one or two plain lines: what is wrong, where, and what to do. The command
    lines print it without a traceback and leave with exit status 2.
    """


def unknown_name(kind: str, name: object, choices: Iterable[str]) -> InputError:
    """Return the error for a name that is not among ``choices``, with the nearest one.

    >>> print(unknown_name("algorithm", "NDLC", ["ERM", "NDCL"]))
    unknown algorithm 'NDLC'; did you mean 'NDCL'? Choose from: ERM, NDCL
    """
    names = list(choices)
    lower = {choice.lower(): choice for choice in names}
    near = difflib.get_close_matches(str(name).lower(), lower, n=1, cutoff=0.5)
    hint = f"; did you mean '{lower[near[0]]}'?" if near else "."
    return InputError(f"unknown {kind} {str(name)!r}{hint} Choose from: {', '.join(names)}")


@contextmanager
def needs_package(message: str) -> Iterator[None]:
    """Raise InputError with ``message`` if a package that the block imports is not installed."""
    try:
        yield
    except ImportError:
        raise InputError(message) from None


def join_names(names: Sequence[str], most: int = 5) -> str:
    """Return the first few names, and how many more there are; '-', which is no name, for none.

    >>> join_names(["art", "photo", "sketch"], most=2)
    'art, photo and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "-") + more
