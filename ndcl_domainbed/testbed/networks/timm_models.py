"""timm: what it knows about a network, and its networks made for a size of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import torch

from imbalance_splits.errors import InputError, needs_package

_REFUSALS = (AssertionError, IndexError, RuntimeError, TypeError, ValueError, ZeroDivisionError)
"""What networks raise for a size that they do not take, when they are built or used."""

_USUAL_STEP = 32
"""Most networks without patches take the multiples of this size."""


def import_timm(needed_by: str, otherwise: str) -> ModuleType:
    """Import timm. Raises InputError that says what needs it and what to do without."""
    with needs_package(
        f"{needed_by} needs timm: pip install 'ndcl-domainbed[timm]', or {otherwise}."
    ):
        import timm
    return timm


def pretrained_config(name: str) -> Any:
    """Return what timm knows about the pretrained weights of its network ``name``.

    Raises InputError if timm is missing, or knows no such network or no such weights of it.
    """
    timm = import_timm(f"backbone 'timm:{name}'", "choose another backbone")
    if not timm.is_model(name):
        raise InputError(f"timm has no network {name!r}: see timm.list_models().")
    try:
        return timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError as error:
        reason = str(error).rstrip(".")
        raise InputError(f"timm has no weights {name!r} ({reason}).") from error


def build_for_size(
    name: str, input_shape: Sequence[int], make: Callable[..., Any]
) -> tuple[Any, int]:
    """Return ``make(num_classes=0, in_chans=C, …)``, timm's ``name`` for (C, H, W), and its width.

    The width is the number of features. A network of one fixed size, such as a vision
    transformer, is told ``img_size``. Raises InputError, which names sizes that fit, if the
    network does not take this one.
    """
    try:
        return _build(name, input_shape, make)
    except _WrongSizeError as error:
        shape = "×".join(str(length) for length in input_shape)
        fitting = " or ".join(str(size) for size in _fitting_sizes(name, input_shape))
        raise InputError(
            f"backbone 'timm:{name}' does not take images of {shape} ({error}).\n"
            f"Set the hyper-parameter image_size to a size that fits, such as {fitting}."
        ) from error


class _WrongSizeError(Exception):
    """A network does not take images of a size; the message is the network's."""


def _build(name: str, input_shape: Sequence[int], make: Callable[..., Any]) -> tuple[Any, int]:
    """Build the network with ``img_size`` and without; return the one that works, and its width."""
    channels, *size = input_shape
    told: dict[str, Any] = {"img_size": tuple(size)}
    plans = [told, {}] if pretrained_config(name).fixed_input_size else [{}, told]
    reasons = []
    for plan in plans:
        try:
            network = make(num_classes=0, in_chans=channels, **plan)
            _check_patches(network, size)
            width = _feature_width(network, input_shape)
        except _REFUSALS as error:
            reasons.append(str(error).split("\n")[0])
        else:
            return network, width
    raise _WrongSizeError(reasons[0])


def _feature_width(network: Any, input_shape: Sequence[int]) -> int:
    """Return the number of features, by trying the network on one black image."""
    network.eval()
    with torch.no_grad():
        return int(network(torch.zeros(1, *input_shape)).shape[1])


def _check_patches(network: Any, size: Sequence[int]) -> None:
    """Raise ValueError if the patches do not cover the image: timm would crop it silently."""
    patch = _patch_size(network)
    if patch and any(length % patch for length in size):
        raise ValueError(f"its patches have {patch}×{patch} pixels")


def _patch_size(network: Any) -> int:
    """Return the size of the patches that a network cuts images into, 0 if it does not."""
    from timm.layers import PatchEmbed

    embedding = getattr(network, "patch_embed", None)
    if not isinstance(embedding, PatchEmbed) or getattr(embedding, "dynamic_img_pad", False):
        return 0
    return int(embedding.patch_size[0])


def _fitting_sizes(name: str, input_shape: Sequence[int]) -> list[int]:
    """Return sizes near that of ``input_shape`` that the network takes, tried on random weights."""
    timm = import_timm(f"backbone 'timm:{name}'", "choose another backbone")

    def make(**options: Any) -> Any:
        return timm.create_model(name, pretrained=False, **options)

    usual = int(pretrained_config(name).input_size[-1])
    channels, height, *_ = input_shape
    patch = _patch_size(make(num_classes=0)) or _USUAL_STEP
    fitting = []
    for step in sorted({patch, _USUAL_STEP}):
        for size in (height // step * step, (height // step + 1) * step):
            try:
                if size not in (0, height):
                    _build(name, (channels, size, size), make)
                    fitting.append(size)
            except _WrongSizeError:
                continue
        if fitting:
            return fitting
    return [usual]
