"""Wide residual networks for 32×32 images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F


class _Block(nn.Module):
    """Two pre-activated 3×3 convolutions beside a shortcut; the second one has the stride."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, stride=stride, padding=1)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels_in != channels_out:
            self.shortcut.append(nn.Conv2d(channels_in, channels_out, 1, stride=stride))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.conv1(F.relu(self.bn1(x)))
        out = self.conv2(F.relu(self.bn2(out)))
        return out + self.shortcut(x)


class WideResNet(nn.Module):
    """Wide-ResNet-16-2 (Zagoruyko & Komodakis, BMVC 2016, arXiv:1605.07146), 128 outputs.

    As in DomainBed, ``freeze_bn`` has no effect on its batch normalization.
    Input (B, C, 32, 32), output (B, 128).
    """

    n_outputs = 128

    def __init__(self, input_shape: Sequence[int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input_shape[0], 16, 3, padding=1)
        self.layer1 = nn.Sequential(_Block(16, 32, 1), _Block(32, 32, 1))
        self.layer2 = nn.Sequential(_Block(32, 64, 2), _Block(64, 64, 1))
        self.layer3 = nn.Sequential(_Block(64, 128, 2), _Block(128, 128, 1))
        self.bn1 = nn.BatchNorm2d(128, momentum=0.9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        return F.avg_pool2d(F.relu(self.bn1(x)), 8).flatten(1)
