"""Variants of a run's evaluation: their names and parameters, as ``--variants`` takes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imbalance_splits.errors import InputError, unknown_name
from imbalance_splits.settings import parse_setting

TITLES = {"ema": "EMA", "average": "average", "swad": "SWAD", "adjusted": "LA", "crt": "cRT"}
"""How the rows of tables name each variant."""

DEFAULTS: dict[str, dict[str, float]] = {
    "ema": {"decay": 0.999, "start": 0.0},
    "average": {"start": 0.5},
    "swad": {"converge": 3, "overfit": 6, "tolerance": 1.3},
    "adjusted": {"tau": 1.0},
    "crt": {"steps": 300, "lr": 0.01},
}
"""Parameter -> default of each variant. ``start`` is a share of the run's updates, 0 <= start < 1;
``decay`` the weight of the earlier average, 0 <= decay < 1; ``converge``, ``overfit`` and
``tolerance`` are N_s, N_e and r of SWAD, the first two numbers of evaluations; ``tau`` the weight
of the log prior; ``steps`` and ``lr`` the updates of the second stage and their first rate."""

AVERAGES = ("ema", "average", "swad")
"""The variants with weights of their own for the whole network."""

_SHARES = ("start", "decay")
_COUNTS = ("converge", "overfit", "steps")


@dataclass(frozen=True)
class Variant:
    """One variant: ``key`` names it in records, as it was given; ``name`` is its kind."""

    key: str
    name: str
    parameters: Mapping[str, float]


def parse_variants(given: Sequence[str]) -> list[Variant]:
    """Return the variants that ``given`` words ask for.

    Raises InputError for a variant or parameter that does not exist, a value out of range, and a
    variant that is given twice.

    >>> [one.parameters for one in parse_variants(["adjusted", "ema:decay=0.99"])]
    [{'tau': 1.0}, {'decay': 0.99, 'start': 0.0}]
    """
    if len(set(given)) < len(given):
        raise InputError(f"--variants {' '.join(given)}: give each variant once")
    return [_parse(text) for text in given]


def check_variants(given: Sequence[str], *, compiled: bool) -> None:
    """Raise InputError if ``given`` are no variants, or not with ``compiled``."""
    averages = [one.name for one in parse_variants(given) if one.name in AVERAGES]
    if averages and compiled:
        raise InputError(
            f"--variants {averages[0]} and --compile exclude each other: "
            "a compiled network keeps its weights"
        )


def _parse(text: str) -> Variant:
    name, parameters = parse_setting(text)
    if name not in DEFAULTS:
        raise unknown_name("variant", name, DEFAULTS)
    for parameter, value in parameters.items():
        if parameter not in DEFAULTS[name]:
            raise unknown_name(f"parameter of variant {name}", parameter, DEFAULTS[name])
        _check(f"--variants {text}: {parameter}", parameter, value)
    return Variant(text, name, {**DEFAULTS[name], **parameters})


def _check(where: str, parameter: str, value: object) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(float(str(value))):
        raise InputError(f"{where} takes a finite number; got {value!r}")
    number = float(str(value))
    if parameter in _SHARES and not 0 <= number < 1:
        raise InputError(f"{where} takes a number >= 0 and < 1; got {value}")
    if parameter in _COUNTS and (number < 1 or number % 1):
        raise InputError(f"{where} takes a whole number >= 1; got {value}")
    too_small = number == 0 if parameter == "lr" else parameter == "tolerance" and number < 1
    if number < 0 or too_small:
        raise InputError(f"{where} is too small: {value}")
