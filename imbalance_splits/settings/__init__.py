"""Settings: from label counts to training counts, one file each.

A public subclass of :class:`Setting` is a setting: its class name is the setting's name, its
dataclass fields are the parameters. It is found in a file of this package, in an installed package
that names it in the entry points 'ndcl_domainbed.settings', or in a file named by
:data:`~imbalance_splits.discovery.OWN_CODE`.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imbalance_splits import discovery
from imbalance_splits.errors import InputError, unknown_name
from imbalance_splits.settings.base import Setting
from imbalance_splits.settings.from_file import FILE_SUFFIXES

__all__ = [
    "Setting",
    "build_setting",
    "get_setting",
    "parameter_names",
    "parse_setting",
    "parse_value",
    "setting_names",
]


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
    return sorted(name for name, setting in _settings().items() if not _required_names(setting))


def get_setting(name: str) -> type[Setting]:
    """Return the setting called ``name``; InputError with the nearest name if there is none."""
    if name not in _settings():
        unknown = unknown_name("setting", name, setting_names())
        raise InputError(f"{unknown}\nOr give {_BY_PATH}.")
    return _settings()[name]


def _required_names(setting: type[Setting]) -> list[str]:
    """Return the names of the parameters that have no default."""
    fields = dataclasses.fields(setting)  # type: ignore[arg-type]
    return [item.name for item in fields if item.default is dataclasses.MISSING]


def parameter_names(name: str) -> list[str]:
    """Return the names of the parameters of the setting called ``name``."""
    return [item.name for item in dataclasses.fields(get_setting(name))]  # type: ignore[arg-type]


def parse_setting(text: str) -> tuple[str, dict[str, Any]]:
    """Return the name of a setting and the parameters that follow it after a colon.

    The path of a table is returned as it is. Raises InputError for a parameter without a value.

    >>> parse_setting("Duality:middle_range=40,50,c=2.5")
    ('Duality', {'middle_range': (40, 50), 'c': 2.5})
    """
    name, colon, rest = text.partition(":")
    if not colon or Path(text).suffix.lower() in FILE_SUFFIXES:
        return text, {}
    parameters = {}
    for item in re.split(r",(?=\s*\w+\s*=)", rest):
        parameter, equals, value = item.partition("=")
        if not (equals and parameter.strip() and value.strip()):
            raise InputError(
                f"setting {text!r}: {item!r} is no parameter; write {name}:parameter=value, "
                "with a comma before the next one."
            )
        parameters[parameter.strip()] = parse_value(value)
    return name, parameters


def parse_value(text: str) -> Any:
    """Return the number, the name, or the tuple of several, that ``text`` stands for.

    >>> parse_value("2"), parse_value("8,9"), parse_value("steep")
    (2, (8, 9), 'steep')
    """
    try:
        values = json.loads(f"[{text}]")
    except ValueError:
        return text.strip()
    return values[0] if len(values) == 1 else tuple(values)


def build_setting(name: str, parameters: Mapping[str, Any]) -> Setting:
    """Return the setting called ``name`` with ``parameters``.

    Raises InputError for a parameter that it does not have, or of another type.
    """
    setting = get_setting(name)
    known = parameter_names(name)
    for parameter in parameters:
        if parameter not in known:
            if not known:
                raise InputError(f"setting {name} takes no parameters, not {parameter!r}.")
            raise unknown_name(f"parameter of {name}", parameter, known)
    missing = [parameter for parameter in _required_names(setting) if parameter not in parameters]
    if missing:
        raise InputError(
            f"setting {name} needs a {', '.join(missing)}: "
            f"give {_BY_PATH} in place of the name {name}."
        )
    try:
        hints = typing.get_type_hints(setting)
    except NameError:  # of a class that is imported for type checking only
        hints = {}
    values = {
        parameter: _convert(value, hints.get(parameter, Any), f"setting {name}: {parameter}")
        for parameter, value in parameters.items()
    }
    try:
        return setting(**values)
    except TypeError as error:  # of a value that cannot be compared with the bounds
        raise InputError(f"setting {name}: a parameter has the wrong type ({error}).") from error


def _convert(value: Any, kind: Any, where: str) -> Any:
    """Return ``value`` as the int, float or tuple that ``kind`` asks for; or InputError."""
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if value is None and type(None) in kinds:
        return value
    if typing.get_origin(kind) is tuple and not isinstance(value, list | tuple):
        raise InputError(f"{where} is {value!r}; it takes several numbers.")
    if typing.get_origin(kind) is tuple and len(typing.get_args(kind)) == len(value):
        pairs = zip(value, typing.get_args(kind), strict=True)
        return tuple(_convert(one, each, where) for one, each in pairs)
    if bool in kinds or not {int, float}.intersection(kinds):
        return tuple(value) if isinstance(value, list) else value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{where} is {value!r}; it must be a number.")
    if float in kinds:
        return float(value)
    if not math.isfinite(value) or value != int(value):
        raise InputError(f"{where} is {value!r}; it must be a whole number.")
    return int(value)
