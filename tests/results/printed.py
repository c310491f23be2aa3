"""What the commands print, read again."""

from __future__ import annotations


def table_lines(text: str) -> list[str]:
    """Return the lines of the tables, without trailing blanks and without our notes below them."""
    lines = [line.rstrip() for line in text.splitlines()]
    start = next(i for i, line in enumerate(lines) if line.startswith("--------"))
    return [line for line in lines[start:] if line and not line.startswith("  ")]
