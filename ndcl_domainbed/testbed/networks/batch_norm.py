"""Batch normalization whose running statistics do not move."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

ModuleT = TypeVar("ModuleT", bound="FreezableBatchNorm")


class FreezableBatchNorm(nn.Module):
    """A network whose batch normalization can be frozen, by the hyper-parameter ``freeze_bn``.

    Frozen layers stay in eval mode, also when the network is switched to train mode: their
    running statistics are used and do not move; scale and shift are still trained.
    """

    def __init__(self, hparams: Mapping[str, Any]) -> None:
        super().__init__()
        self.batch_norm_is_frozen = bool(hparams.get("freeze_bn", False))

    def train(self: ModuleT, mode: bool = True) -> ModuleT:
        """Switch between train and eval mode; frozen layers stay in eval mode."""
        super().train(mode)
        if self.batch_norm_is_frozen:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self


def moving_batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """Return the layers whose running statistics a pass would move, in the mode they are in."""
    return [
        module
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module.training and module.track_running_stats
    ]


@contextmanager
def running_statistics_kept(network: nn.Module) -> Iterator[None]:
    """Let ``network`` normalize by its own batches without moving running statistics.

    Layers in eval mode are not touched: they use their running statistics as ever.
    """
    layers = moving_batch_norms(network)
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
