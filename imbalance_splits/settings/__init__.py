"""Settings: from label counts to training counts, one file each.

A public subclass of :class:`Setting` is a setting: its class name is the setting's name, its
dataclass fields are the parameters. It is found in a file of this package, in an installed package
that names it in the entry points 'ndcl_domainbed.settings', or in a file named by
:data:`~imbalance_splits.discovery.OWN_CODE`.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from imbalance_splits import discovery
from imbalance_splits.errors import InputError, unknown_name
from imbalance_splits.settings.base import Setting
from imbalance_splits.settings.from_file import FILE_SUFFIXES

__all__ = ["Setting", "build_setting", "get_setting", "parameter_names", "setting_names"]


@discovery.cached
def _settings() -> dict[str, type[Setting]]:
    return discovery.find_classes(
        __name__, "settings", Setting, lambda cls: not inspect.isabstract(cls)
    )


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
    try:
        return setting(**parameters)
    except TypeError as error:  # of a value that cannot be compared with the bounds
        raise InputError(f"setting {name}: a parameter is of a wrong type ({error}).") from error
