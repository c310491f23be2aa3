"""Residual networks of torchvision, with ImageNet weights or those of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ndcl_domainbed.testbed.networks.batch_norm import FreezableBatchNorm
from ndcl_domainbed.testbed.networks.timm_models import import_timm
from ndcl_domainbed.testbed.networks.weights import (
    WeightsSource,
    read_weights,
    with_weights,
    with_weights_of_file,
)

AUGMIX_WEIGHTS = "resnet50.ram_in1k"
"""timm's name for the ResNet-50 trained with AugMix, DomainBed's default network."""

TORCHVISION_WEIGHTS = "IMAGENET1K_V1"
"""torchvision's first ImageNet weights, as in DomainBed."""

RESNETS = ("resnet18", "resnet50", "resnet50_augmix")


def _make_resnet(name: str, hparams: Mapping[str, Any]) -> tuple[Any, str]:
    """Return a ResNet without its last layer, ``fc`` an identity, and the name of its weights."""
    from torchvision import models

    path, pretrained = str(hparams.get("weights", "")), hparams.get("pretrained", True)
    make = models.resnet18 if name == "resnet18" else models.resnet50
    network: Any
    if path or not pretrained:
        network, weights = make(weights=None), "random"
    elif name == "resnet50_augmix":
        network, weights = _make_augmix(), f"timm/{AUGMIX_WEIGHTS}"
    else:
        network = with_weights(lambda: make(weights=TORCHVISION_WEIGHTS), name)
        weights = f"torchvision {TORCHVISION_WEIGHTS}"
    network.n_outputs = network.fc.in_features
    network.fc = nn.Identity()
    if path:
        state = read_weights(path, network.state_dict(), ["fc"])
        with_weights_of_file(lambda: network.load_state_dict(state), path, f"torchvision's {name}")
        weights = f"file {Path(path).name}"
    return network, weights


def _make_augmix() -> Any:
    timm = import_timm(
        "the hyper-parameter resnet50_augmix (true by default)",
        "set resnet50_augmix to false (torchvision's weights) or pretrained to false",
    )
    return with_weights(
        lambda: timm.create_model(AUGMIX_WEIGHTS, pretrained=True), "resnet50_augmix"
    )


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
    (``resnet_dropout``) follows the pooled features. The weights are those of the file that
    ``weights`` names, if any; with ``pretrained`` False they are random. Input (B, C, H, W),
    output (B, n_outputs). Raises InputError if weights are missing or do not fit.
    """

    def __init__(
        self, input_shape: Sequence[int], hparams: Mapping[str, Any], name: str = "resnet50"
    ) -> None:
        super().__init__(hparams)
        network, weights = _make_resnet(name, hparams)
        self.n_outputs: int = network.n_outputs
        self.weights_source = WeightsSource.of_network(network, name, weights)  # as published
        if input_shape[0] != 3:
            network.conv1 = _with_input_channels(network.conv1, input_shape[0])
        self.network = network
        self.dropout = nn.Dropout(hparams.get("resnet_dropout", 0.0))
        self.train()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.network(x))
