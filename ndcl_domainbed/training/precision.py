"""Networks that compute in half precision, whatever the algorithm.

The algorithm itself, its losses and penalties included, sees float32 only, and so do its weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from imbalance_splits.errors import InputError

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}

SCALE = 2.0**10
"""What gradients are multiplied by inside a network in float16, whose least number is 6e-8.

A fixed factor (Micikevicius et al., "Mixed precision training", ICLR 2018): an algorithm's own
``update`` leaves no place to try a step again with another one.
"""

_scaled: ContextVar[bool] = ContextVar("scaled", default=False)


def lower_precision(algorithm: nn.Module, device: torch.device, name: str) -> None:
    """Have the networks of ``algorithm`` compute in 'bf16' or 'fp16' where autocast does so.

    Raises InputError if the device cannot.
    """
    dtype = DTYPES[name]
    _check(device, name, dtype)
    for module in set(_called(algorithm)):
        compute = _in_float16 if dtype == torch.float16 else _in_bfloat16
        replace_forward(module, compute)


def replace_forward(module: nn.Module, forward: Callable[..., Any]) -> None:
    """Have ``module`` call ``forward(plain, self, *inputs, **options)``, ``plain`` its class.

    The module gets a class of its own and no hook or attribute: in a copy of it, which some
    algorithms make, these would lead back to the original.
    """
    plain = type(module)

    def replaced(self: Any, *inputs: Any, **options: Any) -> Any:
        return forward(plain, self, *inputs, **options)

    module.__class__ = type(plain.__name__, (plain,), {"forward": replaced})


def _called(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules that an algorithm calls: its own, and those in its lists of modules."""
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from _called(child)
        else:
            yield child


def _in_bfloat16(plain: Any, module: Any, *inputs: Any, **options: Any) -> Any:
    """Compute in bfloat16 and return float32.

    The weights are rounded anew in each call, because an algorithm may change them between two
    calls of one update.
    """
    with torch.autocast(_device_of(inputs), dtype=torch.bfloat16):
        return _float(plain.forward(module, *inputs, **options))


def _in_float16(plain: Any, module: Any, *inputs: Any, **options: Any) -> Any:
    """Compute in float16, gradients multiplied by SCALE, and return float32.

    They are multiplied where they enter the network and divided where they leave it, for its
    inputs and its weights; in a network within a network that has been done.
    """
    with torch.autocast(_device_of(inputs), dtype=torch.float16):
        if _scaled.get():
            return _float(plain.forward(module, *inputs, **options))
        body = _Body(plain, module)
        weights = {name: _scaled_down(weight) for name, weight in body.named_parameters()}
        with _scaling():
            given = tuple(_scaled_down(value) for value in inputs)
            output = _float(torch.func.functional_call(body, weights, given, options))
    return _ScaleGradient.apply(output, SCALE) if torch.is_tensor(output) else output


def gradient_scale() -> float:
    """Return what gradients of values that a network computes now are multiplied by."""
    return SCALE if _scaled.get() else 1.0


class _Body(nn.Module):
    """What a module computes, without its hooks: those are for calls from outside."""

    def __init__(self, plain: Any, module: nn.Module) -> None:
        super().__init__()
        self.plain = plain
        self.module = module

    def forward(self, *inputs: Any, **options: Any) -> Any:
        return self.plain.forward(self.module, *inputs, **options)


@contextmanager
def _scaling() -> Iterator[None]:
    token = _scaled.set(True)
    try:
        yield
    finally:
        _scaled.reset(token)


def _scaled_down(value: Any) -> Any:
    if torch.is_tensor(value) and value.is_floating_point():
        return _ScaleGradient.apply(value, 1 / SCALE)
    return value


class _ScaleGradient(torch.autograd.Function):
    """The identity, whose gradient is multiplied by a factor."""

    generate_vmap_rule = True

    @staticmethod
    def forward(values: Tensor, factor: float) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.factor = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None


def _device_of(inputs: tuple[Any, ...]) -> str:
    return next((x.device.type for x in inputs if torch.is_tensor(x)), "cpu")


def _float(output: Any) -> Any:
    return output.float() if torch.is_tensor(output) else output


def _check(device: torch.device, name: str, dtype: torch.dtype) -> None:
    supported = device.type != "cuda" or name != "bf16" or torch.cuda.is_bf16_supported()
    if supported:
        try:
            torch.autocast(device.type, dtype=dtype)
        except RuntimeError:
            supported = False
    if not supported:
        wanted = str(dtype).removeprefix("torch.")
        raise InputError(f"--precision {name}: the device {device} has no {wanted}. Use fp32.")
