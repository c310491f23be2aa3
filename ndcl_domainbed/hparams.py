"""How a hyper-parameter is declared, drawn, and handed to an algorithm.

An algorithm declares its own hyper-parameters beside itself, in a class attribute
``HPARAMS: dict[str, Hparam]``; the registry adds those that all algorithms share.
"""

from __future__ import annotations

import math
import reprlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np

from imbalance_splits.errors import InputError, unknown_name
from imbalance_splits.seeds import seed_hash

Value = bool | int | float | str
Draw = Callable[[np.random.RandomState], Value]

SMALL_FOLDER = "images of 28 pixels"
"""What stands for the dataset where a folder or list of a user's own holds such images."""

SMALL_IMAGES = ("Debug28", "RotatedMNIST", "ColoredMNIST", "DigitsDG", SMALL_FOLDER)
"""The datasets that get the hyper-parameters of small images."""

VECTORS = "frozen features"
"""What stands for the dataset where the inputs are vectors, the features of a frozen network."""

LONG_RUN, SHORT_RUN = 5001, 301
"""DomainBed's updates per run, and those of a run on one of ``SHORT_RUN_DATASETS``."""

SHORT_RUN_DATASETS = (VECTORS, "DigitsDG")

SHORT_FREQ = 50
"""The updates between two evaluations of a run on frozen features."""


def is_frozen(hparams: Mapping[str, Any]) -> bool:
    """Whether a run with these hyper-parameters, or these overrides, is on frozen features."""
    return hparams.get("frozen") is True


@dataclass(frozen=True)
class Range:
    """The numbers from ``low`` to ``high``; ``is_open`` leaves out the end that is not infinite.

    >>> print(Range(1), Range(0, is_open=True), Range(0, 1), Range(0, 1, is_open=True), sep="; ")
    >= 1; > 0; from 0 to 1; >= 0 and < 1
    """

    low: float
    high: float = math.inf
    is_open: bool = False

    def __contains__(self, value: float) -> bool:
        if not self.is_open:
            return self.low <= value <= self.high
        return self.low <= value < self.high if self.high < math.inf else self.low < value

    def __str__(self) -> str:
        if self.high < math.inf:
            ends = f">= {self.low} and < {self.high}", f"from {self.low} to {self.high}"
        else:
            ends = f"> {self.low}", f">= {self.low}"
        return ends[0] if self.is_open else ends[1]


POSITIVE, NOT_NEGATIVE, AT_LEAST_ONE = Range(0, is_open=True), Range(0), Range(1)
SHARE, BELOW_ONE = Range(0, 1), Range(0, 1, is_open=True)


@dataclass(frozen=True)
class Hparam:
    """A hyper-parameter: its default, how random search draws it, which values make sense.

    ``default`` and ``draw`` may depend on the dataset: see :func:`by_dataset`. Without ``draw``
    random search does not vary it. A value that is given is checked (:meth:`check`); ``within``
    is taken from the declaration that this one overrides if it has none itself; ``choices`` lists
    the allowed strings (beside numbers, if the default is one); empty allows any. ``in_steps``
    marks a number of updates: where runs are shorter, on frozen features and DigitsDG, it keeps
    its share of the run. ``of_update`` marks what a class does not inherit if it has an ``update``
    of its own.
    """

    default: Value | Callable[[str], Value]
    draw: Draw | Callable[[str], Draw] | None = None
    within: Range | None = None
    choices: tuple[str, ...] = ()
    in_steps: bool = False
    of_update: bool = False

    def default_for(self, dataset: str) -> Value:
        """Return the default on ``dataset``."""
        value = self.default(dataset) if callable(self.default) else self.default
        return self._in_share_of_run(value, dataset)

    def random_for(self, dataset: str, name: str, seed: int) -> Value:
        """Return the value that ``seed`` gives to the hyper-parameter ``name`` on ``dataset``.

        Each value has its own generator, so it does not depend on which others exist.
        """
        if self.draw is None:
            return self.default_for(dataset)
        draw: Any = self.draw
        if isinstance(draw, ByDataset):
            draw = draw(dataset)
        if not callable(draw):  # a fixed value in this dataset's random search
            return draw
        value = draw(np.random.RandomState(seed_hash(seed, name)))
        return self._in_share_of_run(value, dataset)

    def _in_share_of_run(self, value: Value, dataset: str) -> Value:
        if not self.in_steps or dataset not in SHORT_RUN_DATASETS or isinstance(value, str):
            return value
        return max(1, round(value * SHORT_RUN / LONG_RUN))

    def check(self, name: str, value: Any, usual: Value) -> Value:
        """Return ``value`` in the type of ``usual``, a value that the hyper-parameter can have.

        Raises InputError if it is of another type, no finite number, or none that makes sense.
        """
        if isinstance(value, str) and value in self.choices:
            return value
        if self.choices and isinstance(usual, str):
            raise unknown_name(f"value of {name}", value, self.choices)
        if isinstance(usual, bool | str):
            if type(value) is type(usual):
                return value
        elif self._is_usable(value, _is_count(usual)):
            return int(value) if _is_count(usual) else float(value)
        given = reprlib.repr(value)  # a number may have hundreds of digits
        wanted = self._describe_values(usual)
        raise InputError(f"hyper-parameter {name} takes {wanted}; got {given}.")

    def _is_usable(self, value: Any, is_count: bool) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            return False
        try:
            number = float(value)
        except OverflowError:  # a whole number of more than 308 digits
            return False
        if not math.isfinite(number) or (is_count and number % 1 != 0):
            return False
        return self.within is None or number in self.within

    def _describe_values(self, usual: Value) -> str:
        if isinstance(usual, bool):
            return "true or false"
        if isinstance(usual, str):
            return f"a string such as {usual!r}"
        number = "a whole number" if _is_count(usual) else "a number"
        numbers = f"{number} {self.within}" if self.within else f"{number} such as {usual!r}"
        return " or ".join([numbers, *map(repr, self.choices)])


def _is_count(usual: Value) -> bool:
    """Whether only whole numbers make sense; a usual 0 may be a rate, as weight_decay in DomainBed.

    >>> _is_count(64), _is_count(0), _is_count(0.1)
    (True, False, False)
    """
    return isinstance(usual, int) and usual != 0


@dataclass(frozen=True)
class ByDataset:
    """A choice by dataset: an entry of ``named``, else ``small``, ``vectors`` or ``other``.

    Without ``vectors`` frozen features get what their photographs would get, ``other``.
    """

    small: Any
    other: Any
    vectors: Any = None
    named: tuple[tuple[str, Any], ...] = ()

    def __call__(self, dataset: str) -> Any:
        """Return the choice for ``dataset``."""
        for name, value in self.named:
            if name == dataset:
                return value
        if dataset == VECTORS and self.vectors is not None:
            return self.vectors
        return self.small if dataset in SMALL_IMAGES else self.other


PRIOR_STRENGTH = Hparam(0.0, within=NOT_NEGATIVE, choices=("auto", "pooled"))
"""The ``strength`` of :func:`~ndcl_domainbed.losses.smooth_counts`, for all with class priors."""


def by_dataset(*, small: Any, other: Any, vectors: Any = None, **named: Any) -> ByDataset:
    """Return a default (or a draw) that depends on the dataset.

    >>> by_dataset(small=64, other=32, DomainNet=16)("DomainNet")
    16
    """
    return ByDataset(small, other, vectors, tuple(named.items()))


def uniform(low: float, high: float) -> Draw:
    """Draw from U(low, high)."""
    return lambda rng: float(rng.uniform(low, high))


def power_uniform(base: int, low: float, high: float) -> Draw:
    """Draw base**U(low, high)."""
    return lambda rng: float(base ** rng.uniform(low, high))


def integer(draw: Draw) -> Draw:
    """Truncate a draw to an integer."""
    return lambda rng: int(draw(rng))


def choice(values: Sequence[Value]) -> Draw:
    """Draw one of ``values``, each as likely as the others; the result is a plain Python value."""
    kept = list(values)
    return lambda rng: rng.choice(np.asarray(kept)).item()


class UndeclaredHparam(InputError, KeyError):
    """An algorithm reads what nobody declared; a KeyError too, for code that does without."""

    __str__ = Exception.__str__


class Hparams(dict[str, Any]):
    """The hyper-parameters of a run, plus what an algorithm may need of its training split.

    As a dict it holds the hyper-parameters alone, so records stay small and serializable. The
    attributes travel with it from the data to the algorithm's constructor:

    ``label_counts``: training images per (source domain, class), int array (M, K), domains in
    the order of the minibatches; ``train_sets``: the M training subsets, each indexable to
    (image, label); ``n_steps``: the number of updates that the run will make.
    """

    label_counts: np.ndarray | None = None
    train_sets: Sequence[Any] | None = None
    n_steps: int | None = None

    def __missing__(self, name: str) -> NoReturn:
        raise UndeclaredHparam(
            f"the hyper-parameter {name!r} is declared nowhere: put it into the algorithm's "
            f"HPARAMS.\nDeclared: {', '.join(sorted(self))}"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as an OrderedDict, which torch's safe loader reads without this package.

        It has the attributes that an algorithm's constructor asks for, so that DomainBed's recipe
        for loading a model (``hparams`` from the file, then ``load_state_dict``) works.
        """
        counts = None if self.label_counts is None else np.asarray(self.label_counts).tolist()
        state: dict[str, Any] = {"label_counts": counts, "n_steps": self.n_steps, "train_sets": []}
        return OrderedDict, (list(self.items()),), state


def collect_hparams(cls: type, shared: Mapping[str, Hparam]) -> dict[str, Hparam]:
    """Return ``shared``, overridden and extended by the ``HPARAMS`` of ``cls`` and of its bases.

    The nearest class comes last.
    """
    found = dict(shared)
    updating = next((base for base in cls.__mro__ if "update" in vars(base)), cls)
    for base in reversed(cls.__mro__):
        for name, hparam in vars(base).get("HPARAMS", {}).items():
            if hparam.within is None and name in found:
                hparam = replace(hparam, within=found[name].within)
            if not hparam.of_update or issubclass(base, updating):
                found[name] = hparam
    return found


def declares_hparams(cls: type) -> bool:
    """Return True. Raises InputError if the HPARAMS of ``cls`` are not declared as Hparam."""
    for name, declared in vars(cls).get("HPARAMS", {}).items():
        if not isinstance(declared, Hparam):
            raise InputError(
                f"{cls.__name__}.HPARAMS[{name!r}] is {declared!r}; it takes an Hparam, such as "
                "Hparam(1.0) or Hparam(1.0, uniform(0.5, 2.0))."
            )
    return True


def required_label_counts(hparams: Mapping[str, Any], algorithm: str) -> np.ndarray:
    """Return a copy of the training counts, float64 (M, K).

    Raises InputError if ``hparams`` carry none.
    """
    counts = getattr(hparams, "label_counts", None)
    if counts is None:
        raise InputError(
            f"{algorithm} needs the label counts of the training split and was given none: "
            "pass Hparams(...) with label_counts set, as train does.\n"
            "To load a trained model, use ndcl_domainbed.load_model(run): it reads them there."
        )
    return np.array(counts, dtype=np.float64)
