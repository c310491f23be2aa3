"""All that an algorithm must remember to go on, as plain types that a safe loader accepts.

``state_dict`` holds parameters and buffers alone. Optimizers, schedules, generators, counters and
moving averages live in ordinary attributes; they are found there, whatever the algorithm, so an
algorithm of a user's own fork can be resumed without a line of code in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

_MODULE_INTERNALS = frozenset(vars(torch.nn.Module()))
_CONSTANTS = frozenset({"hparams"})
_PLAIN = (bool, int, float, str, type(None))


class CannotResume(Exception):
    """A saved state does not fit the algorithm that is to go on from it."""


def capture(algorithm: torch.nn.Module) -> dict[str, Any]:
    """Return the state of ``algorithm``: its ``state_dict`` and its other attributes.

    The result holds tensors, lists, dicts and plain scalars only. Attributes of types that carry
    no state that could be saved (functions, modules, data sets) are left out.
    """
    attributes = {
        name: saved
        for name, value in vars(algorithm).items()
        if name not in _MODULE_INTERNALS | _CONSTANTS
        and (saved := _saved(value, depth=0)) is not None
    }
    return {"state_dict": dict(algorithm.state_dict()), "attributes": attributes}


def restore(algorithm: torch.nn.Module, state: dict[str, Any]) -> None:
    """Give ``algorithm`` the state that :func:`capture` returned.

    Raises CannotResume if parameters or attributes do not fit.
    """
    try:
        algorithm.load_state_dict(state["state_dict"])
        for name, saved in state["attributes"].items():
            setattr(algorithm, name, _restored(getattr(algorithm, name, None), saved))
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CannotResume(str(error).splitlines()[0]) from error


def _saved(value: Any, depth: int) -> dict[str, Any] | None:
    """Return ``value`` as {kind: content}, or None if it carries no state."""
    if isinstance(value, np.generic):
        return {"plain": value.item()}
    if isinstance(value, _PLAIN):
        return {"plain": value}
    if isinstance(value, torch.Tensor):
        return {"tensor": value.detach()}
    if isinstance(value, np.ndarray):
        return {"numpy": torch.as_tensor(value)}
    if isinstance(value, torch.Generator):
        return {"generator": value.get_state()}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_saved(item, depth) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[key, _saved(item, depth)] for key, item in value.items()]}
    if callable(getattr(value, "load_state_dict", None)) and not isinstance(value, torch.nn.Module):
        return {"state_dict": _plain_tree(value.state_dict())}
    if depth < 2 and hasattr(value, "__dict__") and not callable(value):
        content = {name: _saved(item, depth + 1) for name, item in vars(value).items()}
        return {"object": content} if any(content.values()) else None
    return None


def _plain_tree(value: Any) -> Any:
    """Return ``value`` with its NumPy scalars, which a safe loader refuses, as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: _plain_tree(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain_tree(item) for item in value)
    return value


def _restored(current: Any, saved: dict[str, Any] | None) -> Any:
    """Return the value that ``saved`` stands for, filled into ``current`` where that is kept."""
    if saved is None:
        return current
    ((kind, content),) = saved.items()
    if kind == "plain":
        return content
    if kind == "tensor":
        return content.to(current.device) if isinstance(current, torch.Tensor) else content
    if kind == "numpy":
        return content.numpy()
    if kind in ("list", "tuple"):
        kept = list(current) if isinstance(current, list | tuple) else []
        kept += [None] * (len(content) - len(kept))
        items = [_restored(old, new) for old, new in zip(kept, content, strict=False)]
        return tuple(items) if kind == "tuple" else items
    if kind == "dict":
        kept_items = current if isinstance(current, dict) else {}
        return {key: _restored(kept_items.get(key), item) for key, item in content}
    return _filled(current, kind, content)


def _filled(current: Any, kind: str, content: Any) -> Any:
    """Fill the saved content into an object that the constructor made, and return it."""
    if current is None:
        raise CannotResume(f"the algorithm has no {kind} to restore")
    if kind == "generator":
        current.set_state(content)
    elif kind == "state_dict":
        current.load_state_dict(content)
    else:
        for name, item in content.items():
            setattr(current, name, _restored(getattr(current, name, None), item))
    return current
