"""Files that users write, CSV or JSON, read with an error that says where they are wrong."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from imbalance_splits.errors import InputError, join_names


def read_text(path: Path, what: str) -> str:
    """Return the text of a file; InputError, with what it was read as, if it has none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise InputError(f"{path}: cannot be read as {what} ({reason}).") from None


def csv_rows(
    text: str, path: Path, columns: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[tuple[str, dict[str, str | None]]]:
    """Yield where each line stands, and its fields by column; None where the line is short.

    Raises InputError unless the first line names all ``columns``, in any order, and nothing else
    but the ``optional`` ones; and for a line with too many fields or a field that does not end.
    """
    lines = io.StringIO(text, newline="")  # str.splitlines splits at more
    reader = csv.DictReader(lines, strict=True)
    try:
        check_names(reader.fieldnames or (), columns, optional, f"{path}, line 1", "column")
        for line in reader:
            where = f"{path}, line {reader.line_num}"
            if None in line:
                raise InputError(
                    f"{where}: more fields than columns. Put a field with a comma in quotes."
                )
            yield where, line
    except csv.Error as error:
        raise InputError(
            f"{path}, line {reader.line_num + 1}: not CSV ({error}). "
            "Look for a quotation mark that is not closed."
        ) from None


def find_repeated(names: Iterable[Any]) -> list[Any]:
    """Return the names that occur more than once, in order.

    >>> find_repeated(["lr", "mixup", "lr"])
    ['lr']
    """
    return [name for name, times in Counter(names).items() if times > 1]


def check_names(
    names: Sequence[str], needed: Sequence[str], optional: Sequence[str], where: str, what: str
) -> None:
    """Raise InputError unless ``names`` are all of ``needed``, each once, and else ``optional``.

    ``what`` is what they are the names of, such as 'column'. Nothing is ignored: a column called
    'fold' may be meant as the split.
    """
    twice = [str(name) for name in find_repeated(names)]
    if twice:
        raise InputError(f"{where}: {what}s that occur twice: {join_names(twice)}.")
    missing = [name for name in needed if name not in names]
    unknown = [str(name) for name in names if name not in (*needed, *optional)]
    if missing or unknown:
        known = ", ".join([*needed, *(f"{name} (optional)" for name in optional)])
        raise InputError(
            f"{where}: missing {what}s: {join_names(missing)}; "
            f"unknown {what}s: {join_names(unknown)}.\n"
            f"The {what}s are {known}; delete or rename any other."
        )


def parse_json(
    text: str, path: Path, object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None
) -> Any:
    """Return the JSON value in ``text``; InputError, with the line, if it is none."""
    try:
        return json.loads(text, object_pairs_hook=object_pairs_hook)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: not JSON ({error.msg}).") from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, or too many brackets
        raise InputError(f"{path}: not JSON ({error}).") from None
