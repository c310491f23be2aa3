"""One step on one loss, sharpness-aware on request."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from ndcl_domainbed.hparams import NOT_NEGATIVE, Hparam
from ndcl_domainbed.testbed.algorithms.base import Minibatches, Unlabeled, to_floats
from ndcl_domainbed.testbed.networks.batch_norm import running_statistics_kept

SAM_RHO = Hparam(0.0, within=NOT_NEGATIVE, of_update=True)
"""The hyper-parameter ``sam_rho``, for classes whose ``update`` calls :func:`descend`."""

LossT = TypeVar("LossT", Tensor, tuple[Any, ...])


def descend(algorithm: Any, compute_loss: Callable[[], LossT]) -> LossT:
    """Make one step of ``algorithm.optimizer`` on the loss that ``compute_loss`` returns.

    With the hyper-parameter ``sam_rho`` ρ above 0 the step follows the gradient at w + ρ g / |g|,
    where g is the gradient at the weights w: sharpness-aware minimization, Foret, Kleiner, Mobahi &
    Neyshabur, ICLR 2021, arXiv:2010.01412, Algorithm 1 with p = 2. So ``compute_loss`` is called
    again, with the running statistics of batch norm kept. It returns the loss, or a tuple that
    begins with it; :func:`descend` returns what the first call, at w, returned.
    """
    optimizer, rho = algorithm.optimizer, algorithm.hparams.get("sam_rho", 0.0)
    result = compute_loss()
    _differentiate(optimizer, result)
    if rho > 0:
        weights = [w for group in optimizer.param_groups for w in group["params"]]
        with _weights_ascended(weights, rho), running_statistics_kept(algorithm):
            _differentiate(optimizer, compute_loss())
    optimizer.step()
    return result


def _differentiate(optimizer: torch.optim.Optimizer, result: Tensor | tuple[Any, ...]) -> None:
    """Give the weights the gradient of the loss, in the precision of the forward passes."""
    loss: Tensor = result[0] if isinstance(result, tuple) else result
    optimizer.zero_grad()
    with torch.autocast(loss.device.type, enabled=False):
        loss.backward()


@contextmanager
def _weights_ascended(weights: list[Tensor], rho: float) -> Iterator[None]:
    """Let ``weights`` w be w + ρ g / |g| while the block runs, and then w again, bit for bit."""
    trained = [(w, w.grad, w.detach().clone()) for w in weights if w.grad is not None]
    norm = torch.stack([g.norm() for _, g, _ in trained]).norm()
    scale = torch.where(norm > 0, rho / norm, 0.0)
    with torch.no_grad():
        for w, g, _ in trained:
            w.add_(scale * g)
    torch.clear_autocast_cache()  # within autocast it has the weights w, cast before
    try:
        yield
    finally:
        with torch.no_grad():
            for w, _, kept in trained:
                w.copy_(kept)


class OneLoss:
    """Gives a subclass of ERM, of either backend, the update that makes one step on one loss."""

    HPARAMS: ClassVar[dict[str, Hparam]] = {"sam_rho": SAM_RHO}

    @abstractmethod
    def compute_loss(self, minibatches: Minibatches) -> Tensor:
        """Return the loss; it moves no state and draws no random numbers, save for dropout."""

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step on the loss."""
        return to_floats(loss=descend(self, lambda: self.compute_loss(minibatches)))
