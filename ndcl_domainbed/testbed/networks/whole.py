"""Featurizer and classifier as one module."""

from __future__ import annotations

import torch
from torch import nn


class WholeNetwork(nn.Module):
    """A featurizer and a classifier; in the state dict ``net.0.*`` and ``net.1.*``.

    Fish and PGrad train such a network as a whole.
    """

    def __init__(self, featurizer: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(featurizer, classifier)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits (B, K)."""
        return self.net(x)
