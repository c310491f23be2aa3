"""Imports go down only: no room imports one that stands above it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LEVELS = [
    ["imbalance_splits", "losses", "hard_negatives", "version", "git", "processes"],
    ["errors", "hparams", "progress", "run_folder", "own_code", "variant_names"],
    ["locks"],
    ["testbed", "downloading"],
    ["features", "backend"],
    ["algorithms"],
    ["registry"],
    ["training", "results"],
    ["sweeping"],
    ["diagnostics"],
    ["scripts"],
    ["attach"],
]
"""Rooms, the lowest first; those of one level do not import each other."""

HEIGHT = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
FRONT = ("__init__.py", "__main__.py")
"""The package's own doors, which lead everywhere."""


def room_of(name: str) -> str | None:
    """Return the room of a module; None if it is not of this project."""
    first, _, rest = name.partition(".")
    if first == "imbalance_splits":
        return first
    return rest.partition(".")[0] or None if first == "ndcl_domainbed" else None


def imported_modules(path: Path) -> set[str]:
    """Return the modules that a file imports anywhere, in functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def files() -> list[Path]:
    every = [*(ROOT / "ndcl_domainbed").rglob("*.py"), *(ROOT / "imbalance_splits").rglob("*.py")]
    return [path for path in every if path.relative_to(ROOT).as_posix() not in FRONT]


def own_room(path: Path) -> str:
    return room_of(".".join(path.relative_to(ROOT).with_suffix("").parts)) or "front"


def test_every_room_has_a_level():
    rooms = {own_room(path) for path in files()} - {"__init__", "__main__"}
    assert rooms == set(HEIGHT)


@pytest.mark.parametrize("room", HEIGHT)
def test_imports_go_down_only(room):
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files()
        if own_room(path) == room
        for name in sorted(imported_modules(path))
        if (other := room_of(name)) in HEIGHT and other != room and HEIGHT[other] >= HEIGHT[room]
    ]
    assert not wrong


@pytest.mark.parametrize("room", ["losses", "hard_negatives"])
def test_losses_import_torch_and_nothing_else_of_this_project(room):
    allowed = {"losses", "hard_negatives"}
    for path in files():
        if own_room(path) == room:
            rooms = {room_of(name) for name in imported_modules(path)} - {None}
            assert rooms <= allowed, path
