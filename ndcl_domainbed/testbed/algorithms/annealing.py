"""Penalties that are switched on after a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class AnnealedPenalty(torch.nn.Module):
    """Mixin of an algorithm whose penalty gets its weight after a number of updates.

    It keeps the number of updates made in the buffer ``update_count`` (1,). At the switch the
    optimizer starts afresh, because its moments were those of another objective.
    """

    update_count: Tensor
    optimizer: torch.optim.Optimizer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("update_count", torch.zeros(1, dtype=torch.int64))

    def penalty_is_on(
        self, anneal_iters: float, new_optimizer: Callable[[], torch.optim.Optimizer]
    ) -> bool:
        """Count an update, renew the optimizer if it is the switch, tell if the weight counts.

        To be called first in ``update``, when reading the counter does not wait for a device.
        """
        updates = int(self.update_count)
        self.update_count += 1
        if updates == anneal_iters:
            self.optimizer = new_optimizer()
        return updates >= anneal_iters
