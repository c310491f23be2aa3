"""Residual networks of torchvision, and any backbone of timm, with ImageNet weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import nn

from imbalance_splits.errors import InputError
from ndcl_domainbed.testbed.networks.batch_norm import FreezableBatchNorm

AUGMIX_WEIGHTS = "resnet50.ram_in1k"
"""timm's name for the ResNet-50 trained with AugMix, DomainBed's default network."""

RESNETS = ("resnet18", "resnet50", "resnet50_augmix")


def _timm(needed_by: str, otherwise: str) -> ModuleType:
    """Import timm, or say what needs it and what to do without."""
    try:
        import timm
    except ImportError:
        raise InputError(
            f"{needed_by} needs timm: pip install 'ndcl-domainbed[timm]', or {otherwise}."
        ) from None
    return timm


def _with_weights(make: Callable[[], nn.Module], name: str) -> nn.Module:
    """Build a pretrained network; InputError if its weights cannot be had."""
    try:
        return make()
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"the pretrained weights of {name} could not be loaded ({reason}).\n"
            "Download them once where there is a network, or set the hyper-parameter "
            "pretrained to false."
        ) from error


def _make_resnet(name: str, pretrained: bool) -> nn.Module:
    if name == "resnet50_augmix" and pretrained:
        timm = _timm(
            "the hyper-parameter resnet50_augmix (true unless told otherwise)",
            "set resnet50_augmix to false (torchvision's weights) or pretrained to false",
        )
        return _with_weights(
            lambda: timm.create_model(AUGMIX_WEIGHTS, pretrained=True), f"timm's {AUGMIX_WEIGHTS}"
        )
    from torchvision import models

    make = models.resnet18 if name == "resnet18" else models.resnet50
    if not pretrained:
        return make(weights=None)
    return _with_weights(lambda: make(weights="IMAGENET1K_V1"), f"torchvision's {name}")


def _with_input_channels(conv: nn.Conv2d, channels: int) -> nn.Conv2d:
    """Return the first convolution for ``channels`` inputs; the RGB filters repeat in turn."""
    widened = nn.Conv2d(channels, conv.out_channels, 7, stride=2, padding=3, bias=False)
    with torch.no_grad():
        widened.weight.copy_(conv.weight[:, torch.arange(channels) % 3])
    return widened


class ResNet(FreezableBatchNorm):
    """A ResNet (He et al., CVPR 2016) without its last layer: 512 or 2048 outputs.

    ``name`` is 'resnet18', 'resnet50' (torchvision, first ImageNet weights) or
    'resnet50_augmix' (the same network with timm's AugMix weights; needs timm). Dropout
    (``resnet_dropout``) follows the pooled features. With ``pretrained`` False the weights are
    random. Input (B, C, H, W), output (B, n_outputs). Raises InputError if weights are missing.
    """

    def __init__(
        self, input_shape: Sequence[int], hparams: Mapping[str, Any], name: str = "resnet50"
    ) -> None:
        super().__init__(hparams)
        network: Any = _make_resnet(name, hparams.get("pretrained", True))
        self.n_outputs: int = network.fc.in_features
        network.fc = nn.Identity()
        if input_shape[0] != 3:
            network.conv1 = _with_input_channels(network.conv1, input_shape[0])
        self.network = network
        self.dropout = nn.Dropout(hparams.get("resnet_dropout", 0.0))
        self.train()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, n_outputs)."""
        return self.dropout(self.network(x))


class TimmBackbone(FreezableBatchNorm):
    """Any network of timm, by its name there, without its last layer.

    Dropout (``resnet_dropout``) follows the pooled features; ``pretrained`` as in
    :class:`ResNet`. Raises InputError if timm or the weights are missing, timm knows no such
    name, or the network does not take images of ``input_shape``.
    """

    def __init__(self, input_shape: Sequence[int], hparams: Mapping[str, Any], name: str) -> None:
        super().__init__(hparams)
        timm = _timm(f"backbone 'timm:{name}'", "choose another backbone")
        if not timm.is_model(name):
            raise InputError(f"timm has no network {name!r}: see timm.list_models().")
        pretrained = hparams.get("pretrained", True)

        def make() -> Any:
            return timm.create_model(
                name, pretrained=pretrained, num_classes=0, in_chans=input_shape[0]
            )

        self.network = _with_weights(make, f"timm's {name}") if pretrained else make()
        self.n_outputs = self._width(input_shape, name)
        self.dropout = nn.Dropout(hparams.get("resnet_dropout", 0.0))
        self.train()

    def _width(self, input_shape: Sequence[int], name: str) -> int:
        """Return the number of features, by trying the network on one black image."""
        self.network.eval()
        try:
            with torch.no_grad():
                return int(self.network(torch.zeros(1, *input_shape)).shape[1])
        except (AssertionError, RuntimeError) as error:
            size = "×".join(str(length) for length in input_shape)
            raise InputError(
                f"backbone 'timm:{name}' does not take images of {size} ({error})."
            ) from error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, n_outputs)."""
        return self.dropout(self.network(x))
