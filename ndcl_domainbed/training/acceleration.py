"""Memory layout, mixed precision and compilation of networks, whatever the algorithm.

All three leave the names in the state dict as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch._functorch.config as functorch_config
from torch import nn

from imbalance_splits.errors import InputError
from ndcl_domainbed.errors import RunFailure
from ndcl_domainbed.testbed.networks import MNIST_CNN, ResNet, TimmBackbone, WideResNet

CHANNELS_LAST = (MNIST_CNN, ResNet, TimmBackbone, WideResNet)
"""Networks that are faster, and known to work, with images whose channels come last in memory."""

COMPILED = ("featurizer", "network_f", "network")
"""Where algorithms keep the network that takes the images; the first that exists counts."""

_COMPILERS = ("torch._dynamo", "torch._inductor", "torch._functorch")


def accelerate(
    algorithm: nn.Module, device: torch.device, *, precision: str, compiled: bool
) -> None:
    """Set up the networks of ``algorithm``, in place.

    Raises InputError if the device, or the algorithm, is not up to the precision or compilation.
    """
    for module in list(algorithm.modules()):
        if isinstance(module, CHANNELS_LAST):
            replace_forward(module, _in_channels_last)
    if precision == "bf16":
        _check_bfloat16(device)
        for module in set(_called_modules(algorithm)):
            replace_forward(module, _in_bfloat16)
    if compiled:
        _check_compiler(device)
        functorch_config.donated_buffer = False  # GINIDG goes back through a network twice
        _image_network(algorithm).compile(dynamic=True)  # one kernel for batches of all sizes
        if (compile_losses := getattr(algorithm, "compile_losses", None)) is not None:
            compile_losses()


def replace_forward(module: nn.Module, forward: Callable[..., Any]) -> None:
    """Have ``module`` call ``forward(plain, self, *inputs, **options)``, ``plain`` its class.

    The module gets a class of its own and no hook or attribute: in a copy of it, which some
    algorithms make, these would lead back to the original.
    """
    plain = type(module)

    def replaced(self: Any, *inputs: Any, **options: Any) -> Any:
        return forward(plain, self, *inputs, **options)

    module.__class__ = type(plain.__name__, (plain,), {"forward": replaced})


def _called_modules(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules that an algorithm calls: its own, and those in its lists of modules."""
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from _called_modules(child)
        else:
            yield child


def _in_bfloat16(plain: Any, module: Any, *inputs: Any, **options: Any) -> Any:
    """Compute in bfloat16 and return float32, which is what losses and penalties see."""
    device = next((x.device.type for x in inputs if torch.is_tensor(x)), "cpu")
    with torch.autocast(device, dtype=torch.bfloat16):
        output = plain.forward(module, *inputs, **options)
    return output.float() if torch.is_tensor(output) else output


def _check_bfloat16(device: torch.device) -> None:
    """Raise InputError if ``device`` has no bfloat16."""
    supported = device.type != "cuda" or torch.cuda.is_bf16_supported()
    if supported:
        try:
            torch.autocast(device.type, dtype=torch.bfloat16)
        except RuntimeError:
            supported = False
    if not supported:
        raise InputError(f"--precision bf16: the device {device} has no bfloat16. Use fp32.")


def explain_compile_failure(error: RuntimeError, algorithm: str) -> None:
    """Raise RunFailure if it was what was compiled that raised ``error``."""
    if type(error).__module__.startswith(_COMPILERS) or "torch.compile" in str(error):
        raise RunFailure(
            f"{algorithm} cannot be compiled: {_reason(error)}\nStart over without --compile."
        ) from error


def _reason(error: Exception) -> str:
    """Return the first line of an error's message, with the next one where that only leads to it.

    The compiler's messages begin with which of its parts failed.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [repr(error)]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


def _image_network(algorithm: nn.Module) -> nn.Module:
    for name in COMPILED:
        network = getattr(algorithm, name, None)
        if isinstance(network, nn.Module):
            return network
    raise InputError(
        f"--compile: {type(algorithm).__name__} has none of the networks that could be compiled: "
        f"{', '.join(COMPILED)}."
    )


def _in_channels_last(plain: Any, module: Any, x: torch.Tensor) -> Any:
    return plain.forward(module, x.contiguous(memory_format=torch.channels_last))


def _check_compiler(device: torch.device) -> None:
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(2, device=device))
    except Exception as error:
        raise InputError(f"--compile cannot be used here: {_reason(error)}") from error
