"""Networks for vectors and for small images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from imbalance_splits.errors import InputError
from ndcl_domainbed.testbed.networks.batch_norm import FreezableBatchNorm


class MLP(nn.Module):
    """A multi-layer perceptron of ``mlp_depth`` layers and ``mlp_width`` hidden units.

    After each layer but the last come dropout (``mlp_dropout``) and ReLU, in this order.
    Input (B, n_inputs), output (B, n_outputs). Raises InputError if an mlp_* hyper-parameter is
    missing.
    """

    def __init__(self, n_inputs: int, n_outputs: int, hparams: Mapping[str, Any]) -> None:
        super().__init__()
        missing = {"mlp_width", "mlp_depth", "mlp_dropout"}.difference(hparams)
        if missing:
            raise InputError(
                f"a multi-layer perceptron (the network for vectors) needs the hyper-parameters "
                f"{', '.join(sorted(missing))}, which this algorithm does not declare."
            )
        width = hparams["mlp_width"]
        self.input = nn.Linear(n_inputs, width)
        self.dropout = nn.Dropout(hparams["mlp_dropout"])
        self.hiddens = nn.ModuleList(
            [nn.Linear(width, width) for _ in range(hparams["mlp_depth"] - 2)]
        )
        self.output = nn.Linear(width, n_outputs)
        self.n_outputs = n_outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in (self.input, *self.hiddens):
            x = F.relu(self.dropout(layer(x)))
        return self.output(x)


class Adapter(nn.Module):
    """The network trained on frozen features: ``adapter_depth`` times linear layer, ReLU, dropout.

    All layers have ``adapter_width`` outputs; ``adapter_dropout`` is the share of them that is
    dropped. With depth 0 it is the identity, so that the classifier on it is a linear probe.
    Input (B, D), output (B, n_outputs).
    """

    def __init__(self, input_shape: Sequence[int], hparams: Mapping[str, Any]) -> None:
        super().__init__()
        self.n_outputs = int(input_shape[0])
        layers: list[nn.Module] = []
        for _ in range(hparams["adapter_depth"]):
            layers += [
                nn.Linear(self.n_outputs, hparams["adapter_width"]),
                nn.ReLU(),
                nn.Dropout(hparams["adapter_dropout"]),
            ]
            self.n_outputs = int(hparams["adapter_width"])
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class MNIST_CNN(nn.Module):
    """DomainBed's network for 28×28 images: four 3×3 convolutions, 128 outputs.

    Each convolution is followed by ReLU and then by group normalization with 8 groups; the last
    feature map is averaged over its positions. Input (B, C, 28, 28), output (B, 128).
    """

    n_outputs = 128

    def __init__(self, input_shape: Sequence[int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input_shape[0], 64, 3, stride=1, padding=1)
        self.conv2 = nn.Conv2d(64, 128, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(128, 128, 3, stride=1, padding=1)
        self.conv4 = nn.Conv2d(128, 128, 3, stride=1, padding=1)
        self.bn0 = nn.GroupNorm(8, 64)
        self.bn1 = nn.GroupNorm(8, 128)
        self.bn2 = nn.GroupNorm(8, 128)
        self.bn3 = nn.GroupNorm(8, 128)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.bn0(F.relu(self.conv1(x)))
        x = self.bn1(F.relu(self.conv2(x)))
        x = self.bn2(F.relu(self.conv3(x)))
        x = self.bn3(F.relu(self.conv4(x)))
        return F.adaptive_avg_pool2d(x, 1).flatten(1)


class SmallCNN(FreezableBatchNorm):
    """A network for 28×28 images that trains in milliseconds on one CPU core: 576 outputs.

    Three blocks of 16, 32 and 64 channels: 3×3 convolution, 2×2 max-pooling, batch
    normalization, ReLU; then the map, averaged to 3×3 positions where it is larger, and dropout
    (``resnet_dropout``). Where a stroke lies matters to a digit: with one average over all
    positions, accuracy on unseen domains falls by some 20 points.
    Input (B, C, H, W) with H, W ≥ 24, output (B, 576).
    """

    n_outputs = 64 * 3 * 3

    def __init__(self, input_shape: Sequence[int], hparams: Mapping[str, Any]) -> None:
        super().__init__(hparams)
        layers: list[nn.Module] = []
        channels = input_shape[0]
        for width in (16, 32, 64):
            layers += [
                nn.Conv2d(channels, width, 3, padding=1, bias=False),
                nn.MaxPool2d(2),  # before the cheap layers: a quarter of their work
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            channels = width
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(hparams.get("resnet_dropout", 0.0))
        self.train()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.contiguous(memory_format=torch.channels_last)  # twice as fast on a CPU
        x = F.adaptive_avg_pool2d(self.layers(x), 3).flatten(1)
        return self.dropout(x)
