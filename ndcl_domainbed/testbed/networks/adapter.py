"""The network that is trained on the features of a frozen backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn


class Adapter(nn.Module):
    """A multi-layer perceptron: ``adapter_depth`` times linear layer, ReLU, dropout.

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
        """Map (B, D) to (B, n_outputs)."""
        return self.layers(x)
