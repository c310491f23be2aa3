"""Memory layout, mixed precision and compilation of networks, whatever the algorithm.

All three leave the names in the state dict as they are.
"""

from __future__ import annotations

from typing import Any

import torch
import torch._functorch.config as functorch_config
from torch import nn

from imbalance_splits.errors import InputError
from ndcl_domainbed.errors import RunFailure
from ndcl_domainbed.testbed.networks import MNIST_CNN, ResNet, TimmBackbone, WideResNet
from ndcl_domainbed.training.precision import lower_precision, replace_forward

CHANNELS_LAST = (MNIST_CNN, ResNet, TimmBackbone, WideResNet)
"""Networks that are faster, and known to work, with images whose channels come last in memory."""

COMPILED = ("featurizer", "network_f", "network")
"""Where algorithms keep the network that takes the images; the first that there is counts."""

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
    if precision != "fp32":
        lower_precision(algorithm, device, precision)
    if compiled:
        _check_compiler(device)
        functorch_config.donated_buffer = False  # GINIDG goes back through a network twice
        _image_network(algorithm).compile(dynamic=True)  # one kernel for batches of all sizes
        if (compile_losses := getattr(algorithm, "compile_losses", None)) is not None:
            compile_losses()


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
