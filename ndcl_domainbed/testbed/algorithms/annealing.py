"""Penalties that are switched on after a number of updates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class AnnealedPenalty(torch.nn.Module):
    """Mixin of an algorithm whose penalty gets its weight after a number of updates.

    The buffer ``update_count`` (1,) counts the updates. At the switch the optimizer is replaced,
    because its moments were those of another objective.
    """

    update_count: Tensor
    optimizer: torch.optim.Optimizer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("update_count", torch.zeros(1, dtype=torch.int64))

    def penalty_is_on(
        self, anneal_iters: float, new_optimizer: Callable[[], torch.optim.Optimizer]
    ) -> bool:
        """Count an update, replace the optimizer at the switch, return whether the weight counts.

        Call it first in ``update``, when reading the counter does not wait for a device.
        """
        updates = int(self.update_count)
        self.update_count += 1
        if updates == anneal_iters:
            self.optimizer = new_optimizer()
        return updates >= anneal_iters
