"""Algorithms that minimize the risk of the worse domains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.hparams import (
    NOT_NEGATIVE,
    Hparam,
    Range,
    by_dataset,
    power_uniform,
    uniform,
)
from ndcl_domainbed.testbed.algorithms.annealing import AnnealedPenalty
from ndcl_domainbed.testbed.algorithms.base import Minibatches, Shape, Unlabeled, step, to_floats
from ndcl_domainbed.testbed.algorithms.erm import ERM


class GroupDRO(ERM):
    """Group distributionally robust optimization, with the domains as groups.

    Sagawa, Koh, Hashimoto & Liang, "Distributionally Robust Neural Networks for Group Shifts",
    ICLR 2020, arXiv:1911.08731, Algorithm 1; all groups are updated in each step.

    The weights q (buffer, (M,)) start equal; each update multiplies them by exp(η·risk), η =
    ``groupdro_eta``, and normalizes them. The exponent is at most 80, so that it cannot overflow.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "groupdro_eta": Hparam(1e-2, power_uniform(10, -3, -1), within=NOT_NEGATIVE)
    }

    q: Tensor

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
    ) -> None:
        super().__init__(input_shape, num_classes, num_domains, hparams)
        self.register_buffer("q", torch.ones(num_domains))

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step on the risks weighted by the weights that they have just moved."""
        risks = torch.stack([F.cross_entropy(self.predict(x), y) for x, y in minibatches])
        growth = (self.hparams["groupdro_eta"] * risks.detach()).clamp(max=80).exp()
        self.q.mul_(growth)
        self.q.div_(self.q.sum())
        loss = risks @ self.q
        step(self.optimizer, loss)
        return to_floats(loss=loss)


def kernel_quantile(risks: Tensor, level: float) -> Tensor:
    """Return the ``level`` quantile of a Gaussian kernel density over ``risks`` (M,), M ≥ 2.

    The bandwidth is 1.06·s·M^(-1/5) with s the unbiased standard deviation. The quantile lies
    between those of the kernels at the smallest and at the largest risk; its relative position
    between them is found by bisection and is a constant for the gradient, which flows through
    these two ends, as in the authors' implementation.
    """
    count = len(risks)
    deviation = risks.var().clamp(min=1e-30).sqrt()  # equal risks: no gradient instead of NaN
    bandwidth = 1.06 * deviation * count**-0.2
    offset = bandwidth * torch.special.ndtri(torch.as_tensor(level, dtype=torch.float64)).item()
    low, high = risks.min() + offset, risks.max() + offset
    share = _share_of_quantile(risks, bandwidth, low, high, level)
    return low + share * (high - low)


@torch.no_grad()
def _share_of_quantile(
    risks: Tensor,
    bandwidth: Tensor,
    low: Tensor,
    high: Tensor,
    level: float,
) -> float:
    """Return where in [low, high], as a share, the density's distribution reaches ``level``."""
    values = torch.cat([risks, torch.stack([bandwidth, low, high])]).cpu().double()
    centers, (width, start, end) = values[:-3], values[-3:].tolist()
    left, right = 0.0, 1.0
    for _ in range(40):
        share = (left + right) / 2
        point = start + share * (end - start)
        if torch.special.ndtr((point - centers) / width).mean() < level:
            left = share
        else:
            right = share
    return (left + right) / 2


class EQRM(AnnealedPenalty, ERM):
    """Empirical Quantile Risk Minimization: a high quantile of the domains' risks.

    Eastwood, Robey, Singh, von Kügelgen, Hassani, Pappas & Schölkopf, "Probable Domain
    Generalization via Quantile Risk Minimization", NeurIPS 2022, arXiv:2207.09944.

    For ``eqrm_burnin_iters`` updates the mean of the risks, then the ``eqrm_quantile`` quantile
    of a kernel density estimate (:func:`kernel_quantile`), with a new optimizer of learning rate
    ``eqrm_lr``. A fractional number of burn-in updates, as random search draws them, never
    renews the optimizer in DomainBed, so ``eqrm_lr`` has no effect there; here it is rounded up.
    With one domain its risk is its quantile.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "eqrm_quantile": Hparam(0.75, uniform(0.5, 0.99), within=Range(1e-6, 1 - 1e-6)),
        "eqrm_burnin_iters": Hparam(
            2500, power_uniform(10, 2.5, 3.5), within=NOT_NEGATIVE, in_steps=True
        ),
        "eqrm_lr": Hparam(  # on vectors it keeps its ratio to lr
            by_dataset(small=1e-6, other=1e-6, vectors=2e-5),
            by_dataset(
                small=power_uniform(10, -7, -5),
                other=power_uniform(10, -7, -5),
                vectors=lambda rng: float(20 * 10 ** rng.uniform(-7, -5)),
            ),
            within=NOT_NEGATIVE,
        ),
    }

    alpha: Tensor

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
    ) -> None:
        super().__init__(input_shape, num_classes, num_domains, hparams)
        self.register_buffer("alpha", torch.tensor(float(self.hparams["eqrm_quantile"])))

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step on the mean, or after the burn-in on the quantile, of the risks."""
        after_burn_in = self.penalty_is_on(
            math.ceil(self.hparams["eqrm_burnin_iters"]), self._new_optimizer
        )
        risks = torch.stack([F.cross_entropy(self.predict(x), y) for x, y in minibatches])
        if after_burn_in and len(risks) > 1:
            loss = kernel_quantile(risks, self.hparams["eqrm_quantile"])
        else:
            loss = risks.mean()
        step(self.optimizer, loss)
        return to_floats(loss=loss)

    def _new_optimizer(self) -> torch.optim.Optimizer:
        return self._adam(self.network.parameters(), lr="eqrm_lr")
