"""Files that users write, CSV or JSON, read with an error that says where they are wrong."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from imbalance_splits.errors import InputError


def read_text(path: Path, what: str) -> str:
    """Return the text of a file; InputError, which says that it is no ``what``, if it has none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise InputError(f"{path}: cannot be read as {what} ({reason}).") from None


def csv_rows(
    text: str, path: Path, columns: Sequence[str]
) -> Iterator[tuple[str, list[str | None]]]:
    """Yield of each line where it stands, and what it has in ``columns``; None where it is short.

    Raises InputError unless the first line names all ``columns``, in any order, and for a field
    that seems not to end.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""))  # str.splitlines splits at more
    try:
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(
                f"{path}: the first line must name the columns {','.join(columns)}; "
                f"missing: {', '.join(missing)}."
            )
        for line in reader:
            yield f"{path}, line {reader.line_num}", [line[name] for name in columns]
    except csv.Error as error:
        raise InputError(
            f"{path}, line {reader.line_num + 1}: not CSV ({error}). "
            "Look for a quotation mark that is not closed."
        ) from None


def parse_json(
    text: str, path: Path, object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None
) -> Any:
    """Return the JSON value in ``text``; InputError, with the line, if it is none."""
    try:
        return json.loads(text, object_pairs_hook=object_pairs_hook)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: not JSON ({error.msg}).") from None
