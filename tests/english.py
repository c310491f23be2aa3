"""Finds words that this project does not use, in its library, guide and messages.

    python -m tests.english

Part of `make lint`. Each line of :data:`BANNED` is a pattern, and what to write in its place.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("ndcl_domainbed", "imbalance_splits", "docs", "benchmarks", "sweeps")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", "setup.cfg")
SUFFIXES = {".py", ".md", ".rst", ".yaml", ".cfg", ".html", ".js", ""}

BANNED = {
    r"\bdata sets?\b": "dataset",
    r"\bwhence\b": "from which",
    r"\banew\b": "again",
    r"\bthere is not\b(?! (a|an|any|one|yet|enough|no)\b)": "does not exist; unknown",
    r"\bso many\b(?! (that|mixed))": "this number of",
    r"\bgo(es)? on (from|after) (its|their|the) (last|next|check)": "resume",
    r"\bunless told\b": "by default; unless FLAG is given",
    r"\bcolour": "color",
    r"\bgrey\b(?!scale)": "gray",
}


def find_banned(text: str) -> list[tuple[int, str, str]]:
    """Return line, words and what to write instead, of every banned pattern in ``text``.

    >>> find_banned("Two data sets.")
    [(1, 'data sets', 'dataset')]
    """
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        for pattern, instead in BANNED.items():
            match = re.search(pattern, line, re.IGNORECASE)
            if match:
                found.append((number, match[0], instead))
    return found


def main() -> int:
    """Print what is found; return 1 if anything is."""
    command = ["git", "ls-files", *ROOMS, *PAGES]
    names = subprocess.check_output(command, cwd=ROOT, text=True).split("\n")
    status = 0
    for name in filter(None, names):
        path = ROOT / name
        if path.suffix not in SUFFIXES or not path.is_file() or name.startswith("docs/results/"):
            continue
        for number, words, instead in find_banned(path.read_text(encoding="utf-8")):
            print(f"{name}:{number}: {words!r}: write {instead!r}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
