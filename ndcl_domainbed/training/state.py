"""All that an algorithm must remember to resume, as plain types that a safe loader accepts.

``state_dict`` holds parameters and buffers alone. Optimizers, schedules, generators, counters and
moving averages live in ordinary attributes; they are found there, whatever the algorithm, so an
algorithm of a user's own fork can be resumed without a line of code in it.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

_MODULE_INTERNALS = frozenset(vars(torch.nn.Module()))
_CONSTANTS = frozenset({"hparams"})
_PLAIN = (bool, int, float, str, type(None))

Saved = dict[str, Any]
"""A value that stands for another: {kind: content}."""


class CannotResume(Exception):
    """A saved state does not fit the algorithm that is to resume from it."""


def capture(algorithm: torch.nn.Module) -> dict[str, Any]:
    """Return the state of ``algorithm``: its ``state_dict`` and its other attributes.

    The result holds tensors, lists, dicts and plain scalars only. Attributes of types that carry
    no state that could be saved (functions, datasets) are left out.
    """
    attributes = {
        name: saved
        for name, value in vars(algorithm).items()
        if name not in _MODULE_INTERNALS | _CONSTANTS
        and (saved := _save_value(value, depth=0)) is not None
    }
    return {"state_dict": dict(algorithm.state_dict()), "attributes": attributes}


def restore(
    algorithm: torch.nn.Module,
    state: dict[str, Any],
    make_update: Callable[[], object] | None = None,
) -> None:
    """Give ``algorithm`` the state that :func:`capture` returned.

    If it does not fit, ``make_update`` is called, where it is given, and the state is tried again:
    some of DomainBed's algorithms (Fish, GroupDRO) have networks, buffers or optimizers only from
    their first update on. Raises CannotResume if parameters or attributes do not fit.
    """
    try:
        _restore(algorithm, state)
    except CannotResume:
        if make_update is None:
            raise
        make_update()
        _restore(algorithm, state)


def _restore(algorithm: torch.nn.Module, state: dict[str, Any]) -> None:
    try:
        algorithm.load_state_dict(state["state_dict"])
        for name, saved in state["attributes"].items():
            setattr(algorithm, name, _restore_value(getattr(algorithm, name, None), saved))
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CannotResume(" ".join(str(error).split())) from error


def _save_value(value: Any, depth: int) -> Saved | None:
    """Return what stands for ``value``, or None if it carries no state."""
    if isinstance(value, torch.Tensor):
        # A leaf that is trained may be in an optimizer too, and must stay the same object.
        kind = "trained" if value.requires_grad and value.is_leaf else "tensor"
        return {kind: value.detach()}
    for types, kind, content in _SIMPLE:
        if isinstance(value, types):
            return {kind: content(value)}
    if isinstance(value, list | tuple | deque | set):
        kind = next(name for name, cls in _SEQUENCES.items() if isinstance(value, cls))
        return {kind: [_save_value(item, depth) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[key, _save_value(item, depth)] for key, item in value.items()]}
    if callable(getattr(value, "load_state_dict", None)):
        return {"state_dict": _plain_tree(value.state_dict())}
    if depth < 2 and hasattr(value, "__dict__") and not callable(value):
        attributes = {name: _save_value(item, depth + 1) for name, item in vars(value).items()}
        return {"object": attributes} if any(attributes.values()) else None
    return None


_SIMPLE: tuple[tuple[Any, str, Callable[[Any], Any]], ...] = (
    (np.generic, "plain", lambda value: value.item()),
    (_PLAIN, "plain", lambda value: value),
    (np.ndarray, "numpy", torch.as_tensor),
    (torch.Generator, "generator", lambda value: value.get_state()),
    (np.random.RandomState, "numpy_state", lambda value: _plain_tree(value.get_state())),
    (np.random.Generator, "bit_generator", lambda value: _plain_tree(value.bit_generator.state)),
    (random.Random, "python_generator", lambda value: _plain_tree(value.getstate())),
)
_SEQUENCES: dict[str, type] = {"list": list, "tuple": tuple, "deque": deque, "set": set}


def _plain_tree(value: Any) -> Any:
    """Return ``value`` without NumPy's arrays and scalars, which a safe loader refuses."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _plain_tree(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain_tree(item) for item in value)
    return value


def _restore_value(current: Any, saved: Saved | None) -> Any:
    """Return the value that ``saved`` stands for, filled into ``current`` where that is kept."""
    if saved is None:
        return current
    ((kind, content),) = saved.items()
    if kind == "plain":
        return content
    if kind == "tensor":
        return content.to(current.device) if isinstance(current, torch.Tensor) else content
    if kind == "numpy":
        return content.cpu().numpy()  # a resume file is loaded to the device
    if kind in _SEQUENCES:
        return _restore_sequence(current, kind, content)
    if kind == "dict":
        kept = current if isinstance(current, dict) else {}
        items = {key: _restore_value(kept.get(key), item) for key, item in content}
        kept.clear()
        kept.update(items)
        return kept
    if current is None:
        raise CannotResume(f"the algorithm has no {kind} to restore")
    _FILLERS[kind](current, content)
    return current


def _restore_sequence(current: Any, kind: str, content: list[Any]) -> Any:
    kept = list(current) if isinstance(current, list | tuple | deque) else []
    kept += [None] * (len(content) - len(kept))
    items = [_restore_value(old, new) for old, new in zip(kept, content, strict=False)]
    if isinstance(current, deque):  # it may have a greatest length
        current.clear()
        current.extend(items)
        return current
    make = getattr(current, "_make", None)  # of a NamedTuple
    return _SEQUENCES[kind](items) if make is None else make(items)


def _fill_tensor(current: Any, content: torch.Tensor) -> None:
    with torch.no_grad():
        current.copy_(content)


def _fill_object(current: Any, content: dict[str, Any]) -> None:
    for name, item in content.items():
        setattr(current, name, _restore_value(getattr(current, name, None), item))


_FILLERS: dict[str, Callable[[Any, Any], object]] = {
    "trained": _fill_tensor,
    "generator": lambda current, content: current.set_state(content.cpu()),
    "numpy_state": lambda current, content: current.set_state(content),
    "bit_generator": lambda current, content: setattr(current.bit_generator, "state", content),
    "python_generator": lambda current, content: current.setstate(content),
    "state_dict": lambda current, content: current.load_state_dict(content),
    "object": _fill_object,
}
"""What fills a saved content into an object that the constructor made."""
