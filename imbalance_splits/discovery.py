"""Finding what has a name: in the modules of a package, in installed packages, in files.

A setting, an algorithm, a dataset, a launcher or a diagnostic may be defined in this project's own
package for it, in an installed package that announces it as an entry point, or in a Python file
that the environment variable ``NDCL_OWN_CODE`` names (several are separated as in ``PATH``).
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import importlib.util
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from imbalance_splits.errors import InputError

OWN_CODE = "NDCL_OWN_CODE"
"""The environment variable that names files; so they reach the processes that a sweep starts."""

_PREFIX = "ndcl_own_code_"
_OURS = (__file__, importlib.__file__, ast.__file__)
"""Files that are never named as the place of a fault."""

_importing: set[str] = set()
_Found = TypeVar("_Found")


def own_files() -> list[str]:
    """Return the files that :data:`OWN_CODE` names, as absolute paths, each once."""
    names = os.environ.get(OWN_CODE, "").split(os.pathsep)
    return list(dict.fromkeys(str(Path(name).resolve()) for name in names if name))


def use_files(paths: list[str]) -> None:
    """Add files to those of :data:`OWN_CODE`, in this process and those that it starts.

    Raises InputError for a path at which there is no Python file.
    """
    for path in paths:
        if not (path.endswith(".py") and Path(path).is_file()):
            raise InputError(f"--own_code {path}: there is no Python file (.py) of this name.")
    if paths:
        os.environ[OWN_CODE] = os.pathsep.join([*own_files(), *paths])
        os.environ[OWN_CODE] = os.pathsep.join(own_files())


@dataclass(frozen=True)
class Source:
    """A module in which something may be defined; ``place`` is how a message calls it.

    ``module`` is its name, ``path`` its file if :data:`OWN_CODE` names it. With ``attribute`` only
    the class of that name counts.
    """

    module: str
    place: str
    path: str = ""
    attribute: str = ""

    @property
    def name(self) -> str:
        """The last part of the module's name, which is the name of what is a module itself."""
        return Path(self.path).stem if self.path else self.module.rpartition(".")[2]

    def load(self) -> ModuleType:
        """Import the module. Raises InputError, with file and line, if that fails."""
        try:
            if self.path:
                return _import_file(self.path, self.module)
            return importlib.import_module(self.module)
        except InputError:
            raise
        except Exception as error:  # whatever somebody's own file raises
            raise InputError(self._why_not(error)) from error

    def parse(self) -> ast.Module:
        """Return the module's syntax tree, without importing it. Raises InputError as load does."""
        try:
            path = self.path or getattr(importlib.util.find_spec(self.module), "origin", None)
            return ast.parse(Path(path or "").read_bytes(), path or "")
        except Exception as error:  # to find a module is to import the package that it is in
            raise InputError(self._why_not(error)) from error

    def _why_not(self, error: Exception) -> str:
        reason = " ".join(str(error).split())
        frames = traceback.extract_tb(error.__traceback__)
        theirs = [f for f in frames if not f.filename.startswith("<") and f.filename not in _OURS]
        own = [f for f in theirs if f.filename == self.path] or theirs
        where = (own[-1].filename, own[-1].lineno) if own else None
        if isinstance(error, SyntaxError) and error.filename:
            where, reason = (error.filename, error.lineno), error.msg
        at = f"{where[0]}, line {where[1]}" if where else self.place
        return (
            f"{self.place} cannot be imported: {type(error).__name__}: {reason}\n"
            f"Fix {at}, or leave the file out."
        )


def _import_file(path: str, name: str) -> ModuleType:
    if name in _importing:
        raise InputError(
            f"{path} looks up registered names while it is being imported, before its own are "
            "defined. Move that call into a function."
        )
    if name in sys.modules:
        return sys.modules[name]
    loader = SourceFileLoader(name, path)
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    sys.modules[name] = module
    _importing.add(name)
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        _importing.discard(name)
    return module


def sources(package: str, kind: str, elsewhere: bool = True) -> Iterator[Source]:
    """Yield where to look for a kind of things, such as 'settings'.

    These are the modules of ``package`` and, ``elsewhere``, the entry points of the group
    'ndcl_domainbed.' and ``kind``, and the files of :data:`OWN_CODE`.
    """
    for info in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        if not info.ispkg:
            yield Source(info.name, info.name)
    if not elsewhere:
        return
    for module, attribute, label in _entry_points(f"ndcl_domainbed.{kind}"):
        yield Source(module, label, attribute=attribute)
    for path in own_files():
        digest = hashlib.md5(path.encode(), usedforsecurity=False).hexdigest()[:8]
        yield Source(f"{_PREFIX}{Path(path).stem}_{digest}", path, path=path)


@functools.cache
def _entry_points(group: str) -> list[tuple[str, str, str]]:
    """Return module, attribute ('' for a whole module) and description of each entry point."""
    from importlib import metadata  # takes a while

    found = metadata.entry_points(group=group)
    return [(e.module, e.attr or "", f"{e.module} (entry point {e.name})") for e in found]


def find_classes(
    package: str,
    kind: str,
    base: Any,
    is_one: Callable[[Any], bool] = lambda cls: True,
    elsewhere: bool = True,
) -> dict[str, Any]:
    """Return the subclasses of ``base`` for which ``is_one`` is true, by name, sorted.

    They are a ``kind`` of things, such as 'settings', of a module's public classes those that it
    does not import. ``elsewhere`` False leaves it at those of ``package``. Raises InputError for
    a source that cannot be imported, and for a name that two of them define.
    """
    found: dict[str, tuple[type, str]] = {}
    for source in sources(package, kind, elsewhere):
        for cls in _classes_of(source, kind, base):
            if not is_one(cls):
                continue
            known, place = found.setdefault(cls.__name__, (cls, source.place))
            if known is not cls:
                raise defined_twice(kind, cls.__name__, place, source.place)
    return {name: cls for name, (cls, _) in sorted(found.items())}


def _classes_of(source: Source, kind: str, base: Any) -> list[type]:
    module = source.load()
    if source.attribute:
        cls = getattr(module, source.attribute, None)
        if not (isinstance(cls, type) and issubclass(cls, base)):
            raise InputError(f"{source.place}: {source.attribute} is not one of the {kind}.")
        return [cls]
    classes = [value for value in vars(module).values() if isinstance(value, type)]
    own = [cls for cls in classes if cls.__module__ == module.__name__ and issubclass(cls, base)]
    return [cls for cls in own if cls is not base and not cls.__name__.startswith("_")]


def find_modules(package: str, kind: str, function: str) -> dict[str, Source]:
    """Return the modules that are a ``kind`` of things themselves, by name; none is imported.

    The name is the file's. Of the files that :data:`OWN_CODE` names those count that define
    ``function``. Raises InputError for a file that is no Python, and for a name that two have.
    """
    found: dict[str, Source] = {}
    for source in sources(package, kind):
        tree = source.parse().body if source.path else []
        own = [node.name for node in tree if isinstance(node, ast.FunctionDef)]
        if source.path and function not in own:
            continue
        known = found.setdefault(source.name, source)
        if known.module != source.module:
            raise defined_twice(kind, source.name, known.place, source.place)
    return dict(sorted(found.items()))


def defined_twice(kind: str, name: str, one: str, other: str) -> InputError:
    """Return the error for a name that two places define, ``kind`` being 'settings' or so."""
    return InputError(f"two of the {kind} are called {name}: in {one} and {other}; rename one.")


def place_of(cls: type) -> str:
    """Return how a message calls the module of ``cls``: a file of one's own by its path."""
    if cls.__module__.startswith(_PREFIX):
        return str(sys.modules[cls.__module__].__file__)
    return cls.__module__


def cached(find: Callable[[], _Found]) -> Callable[[], _Found]:
    """Have ``find`` called once, and again when :data:`OWN_CODE` names other files."""
    by_files = functools.lru_cache(lambda files: find())

    @functools.wraps(find)
    def wrapper() -> _Found:
        return by_files(tuple(own_files()))

    wrapper.cache_clear = by_files.cache_clear  # type: ignore[attr-defined]
    return wrapper
