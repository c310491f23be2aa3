"""Finds words and names that this project does not use, in its library, guide and messages.

    python -m tests.english

Part of `make lint`. :data:`BANNED` maps patterns to what to write instead.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("ndcl_domainbed", "imbalance_splits", "docs", "benchmarks", "sweeps")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", "setup.cfg")
SUFFIXES = {".py", ".md", ".rst", ".yaml", ".cfg", ".html", ".js", ""}

BANNED = {
    r"\bdata sets?\b": "dataset",
    r"\b(whence|thereof|whereof|hitherto)\b": "from which; of it",
    r"\banew\b": "again",
    r"\bof which\b(?! (class|step|run|domain|kind)\b)": "whose; a sentence of its own",
    r"\bthere (is|are) not\b(?! (a|an|any|as|one|yet|enough|no)\b)": "does not exist; unknown",
    r"\bso many\b(?! mixed)": "this number of; too many",
    r"\b(goes|went|going) on\b": "resumes; continues",
    r"\bgo on (from|after|as|with|if|where|until)\b": "resume; continue",
    r"\b(is|are|was|were) to be\b": "must be; will be",
    r"\b(be|been|is|are|was|were) had\b": "be obtained; be loaded",
    r"\bafter all\b": "(leave it out)",
    r"\bunless told\b": "by default; unless FLAG is given",
    r"\bfor ever\b": "forever",
    r"\btexts\b": "strings",
    r"\b(of|in|with|has|have) (\d+|special|allowed) signs\b": "characters",
    r", (?!and|or)\w+ say\b": "such as …",
    r"\bcolour": "color",
    r"\bgrey\b(?!scale)": "gray",
    r"\blicences?\b": "license",
    r"\b(behaviour|neighbour|favour|honour)": "-or",
    r"\bcentre(s|d)?\b": "center",
    r"\b\w+(alis|oris|imis|aris|tis|ognis|ganis)(e|es|ed|ing|able|ation)\b": "-ize",
}

ALLOWED = re.compile(
    r"\b(exercis|promis|generalis|precis|surpris|advertis|compris|improvis|practis|premis|revis)\w+|"
    r"\b(otherwise|likewise|pairwise|noise|raise|rise|wise)\b",
    re.IGNORECASE,
)
"""Words that look like a British spelling and are none."""

PARTICIPLES = re.compile(r"_?[a-z]+(ed|awn|own|ept|ade|ound|told|given|chosen|taken|written)")
NOT_PARTICIPLES = {"seed", "feed", "embed", "background", "cached", "started", "ended"}


def find_banned(text: str) -> list[tuple[int, str, str]]:
    """Return line, words and what to write instead, of every banned pattern in ``text``.

    >>> find_banned("Two data sets.")
    [(1, 'data sets', 'dataset')]
    """
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        line = ALLOWED.sub("", line)
        for pattern, instead in BANNED.items():
            match = re.search(pattern, line, re.IGNORECASE)
            if match:
                found.append((number, match[0], instead))
    return found


def find_participles(source: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, name and advice for functions that are named by a bare participle.

    Decorated ones may be, such as properties and context managers: they read as adjectives. So may
    functions in functions, and methods called when something has happened.

    >>> list(find_participles("def _judged(): pass"))
    [(1, '_judged', 'a verb: what does it do?')]
    """
    tree = ast.parse(source)
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    for function in (node for body in bodies for node in body):
        if not isinstance(function, ast.FunctionDef) or function.decorator_list:
            continue
        name = function.name
        if PARTICIPLES.fullmatch(name) and name.strip("_") not in NOT_PARTICIPLES:
            yield function.lineno, name, "a verb: what does it do?"


def main() -> int:
    """Print what is found; return 1 if anything is."""
    command = ["git", "ls-files", *ROOMS, *PAGES]
    names = subprocess.check_output(command, cwd=ROOT, text=True).split("\n")
    status = 0
    for name in filter(None, names):
        path = ROOT / name
        if path.suffix not in SUFFIXES or not path.is_file() or name.startswith("docs/results/"):
            continue
        text = path.read_text(encoding="utf-8")
        found = find_banned(text)
        if path.suffix == ".py":
            found += find_participles(text)
        for number, words, instead in found:
            print(f"{name}:{number}: {words!r}: write {instead!r}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
