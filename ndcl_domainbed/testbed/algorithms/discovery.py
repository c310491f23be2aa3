"""Finds the algorithms of a package: one writes a file, and it is registered."""

from __future__ import annotations

import pkgutil
from types import ModuleType

from imbalance_splits.errors import InputError, defined_twice
from imbalance_splits.importing import imported
from ndcl_domainbed.hparams import Hparam


def discover(package: ModuleType, base: type) -> dict[str, type]:
    """Return the algorithm classes that the modules of ``package`` define, by name.

    Every public subclass of ``base`` counts; its name is its name on the command line. Raises
    InputError for a module that cannot be imported, for hyper-parameters that are not declared as
    :class:`Hparam`, and if two modules define the same name.
    """
    found: dict[str, type] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = imported(f"{package.__name__}.{info.name}", "algorithms")
        for name, cls in vars(module).items():
            if not _is_algorithm(name, cls, module, base):
                continue
            if name in found:
                raise defined_twice("an algorithm", name, found[name], cls)
            _check_hparams(cls)
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


def _check_hparams(cls: type) -> None:
    for name, declared in vars(cls).get("HPARAMS", {}).items():
        if not isinstance(declared, Hparam):
            raise InputError(
                f"{cls.__name__}.HPARAMS[{name!r}] is {declared!r}; it takes an Hparam, such as "
                "Hparam(1.0) or Hparam(1.0, uniform(0.5, 2.0))."
            )
