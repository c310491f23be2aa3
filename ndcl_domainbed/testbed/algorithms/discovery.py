"""Finds the algorithms of a package: one writes a file, and it is registered."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from imbalance_splits.errors import InputError


def discover(package: ModuleType, base: type) -> dict[str, type]:
    """Return the algorithm classes that the modules of ``package`` define, by name.

    Every public subclass of ``base`` counts; its name is its name on the command line. Raises
    InputError if two modules define the same name.
    """
    found: dict[str, type] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for name, cls in vars(module).items():
            if not _is_algorithm(name, cls, module, base):
                continue
            if name in found:
                raise InputError(
                    f"two modules define an algorithm {name}: {found[name].__module__} and "
                    f"{module.__name__}; rename one of them."
                )
            found[name] = cls
    return dict(sorted(found.items()))


def _is_algorithm(name: str, cls: object, module: ModuleType, base: type) -> bool:
    """Whether ``module`` itself defines the algorithm class ``cls``, for others to use."""
    return (
        isinstance(cls, type)
        and issubclass(cls, base)
        and cls is not base
        and cls.__module__ == module.__name__
        and not name.startswith("_")
    )
