"""Settings: from label counts to training counts, one file each.

A file of this package that defines a public subclass of :class:`Setting` adds a setting: its
class name is the setting's name, its dataclass fields are the parameters.
"""

from __future__ import annotations

import dataclasses
import inspect
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any

from imbalance_splits.errors import InputError, defined_twice, unknown_name
from imbalance_splits.importing import imported
from imbalance_splits.settings.base import Setting
from imbalance_splits.settings.from_file import FILE_SUFFIXES

__all__ = ["Setting", "build_setting", "get_setting", "parameter_names", "setting_names"]


@cache
def _settings() -> dict[str, type[Setting]]:
    """Return every concrete setting that a module of this package defines, by name.

    Raises InputError for a module that cannot be imported, and if two define the same name.
    """
    found: dict[str, type[Setting]] = {}
    for info in pkgutil.iter_modules(__path__):
        module = imported(f"{__name__}.{info.name}", "settings")
        for name, member in inspect.getmembers(module, inspect.isclass):
            own = member.__module__ == module.__name__
            if own and issubclass(member, Setting) and not inspect.isabstract(member):
                if name in found:
                    raise defined_twice("a setting", name, found[name], member)
                found[name] = member
    return found


_BY_PATH = f"the path of a table ({', '.join(FILE_SUFFIXES)})"


def setting_names() -> list[str]:
    """Return the names of the settings, sorted, that a name alone is enough for.

    FromFile is not among them: it needs a path, which stands in place of the name.
    """
    return sorted(name for name, setting in _settings().items() if not _required(setting))


def get_setting(name: str) -> type[Setting]:
    """Return the setting called ``name``; InputError with the nearest name if there is none."""
    if name not in _settings():
        unknown = unknown_name("setting", name, setting_names())
        raise InputError(f"{unknown}\nOr give {_BY_PATH}.")
    return _settings()[name]


def _required(setting: type[Setting]) -> list[str]:
    """Return the names of the parameters that have no default."""
    fields = dataclasses.fields(setting)  # type: ignore[arg-type]
    return [item.name for item in fields if item.default is dataclasses.MISSING]


def parameter_names(name: str) -> list[str]:
    """Return the names of the parameters of the setting called ``name``."""
    return [item.name for item in dataclasses.fields(get_setting(name))]  # type: ignore[arg-type]


def build_setting(name: str, parameters: Mapping[str, Any]) -> Setting:
    """Return the setting called ``name`` with ``parameters``; InputError for an unknown one."""
    known = parameter_names(name)
    for parameter in parameters:
        if parameter not in known:
            if not known:
                raise InputError(f"setting {name} takes no parameters, not {parameter!r}.")
            raise unknown_name(f"parameter of {name}", parameter, known)
    setting = get_setting(name)
    missing = [parameter for parameter in _required(setting) if parameter not in parameters]
    if missing:
        raise InputError(
            f"setting {name} needs a {', '.join(missing)}: "
            f"give {_BY_PATH} in place of the name {name}."
        )
    return setting(**parameters)
