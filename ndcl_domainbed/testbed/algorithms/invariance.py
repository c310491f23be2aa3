"""Algorithms that ask for the same optimal classifier, or the same risk, in all domains."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.hparams import NOT_NEGATIVE, Hparam, integer, power_uniform
from ndcl_domainbed.testbed.algorithms.annealing import AnnealedPenalty
from ndcl_domainbed.testbed.algorithms.base import (
    Minibatches,
    Unlabeled,
    batch_sizes,
    concatenate,
    mean,
    step,
    to_floats,
)
from ndcl_domainbed.testbed.algorithms.erm import ERM


class _RiskInvariance(AnnealedPenalty, ERM):
    """One forward pass of all domains, and an optimizer that is renewed at the switch."""

    def domain_logits(self, minibatches: Minibatches) -> list[tuple[Tensor, Tensor]]:
        """Return the logits (n_d, K) and labels (n_d,) of each domain, from a joint forward."""
        x, _ = concatenate(minibatches)
        parts = self.predict(x).split(batch_sizes(minibatches))
        return [(f, y) for f, (_, y) in zip(parts, minibatches, strict=True)]

    def penalty_weight(self, name: str) -> float:
        """Return 1 before the switch, then the hyper-parameter ``name``_lambda."""
        is_on = self.penalty_is_on(
            self.hparams[f"{name}_penalty_anneal_iters"],
            lambda: self._adam(self.network.parameters()),
        )
        return float(self.hparams[f"{name}_lambda"]) if is_on else 1.0


def scale_derivative(logits: Tensor, y: Tensor) -> Tensor:
    """Return d/ds of the mean cross-entropy of s·logits at s = 1; zero for no samples.

    ``logits`` are (n, K), ``y`` (n,). Differentiable in the logits.
    """
    if len(y) == 0:
        return logits.sum()
    scale = torch.ones((), device=logits.device, dtype=logits.dtype, requires_grad=True)
    (derivative,) = torch.autograd.grad(
        F.cross_entropy(scale * logits, y), scale, create_graph=True
    )
    return derivative


class IRM(_RiskInvariance):
    """Invariant Risk Minimization (IRMv1).

    Arjovsky, Bottou, Gulrajani & Lopez-Paz, "Invariant Risk Minimization", 2019,
    arXiv:1907.02893.

    The squared derivative of the risk with respect to a scale of the logits is estimated without
    bias by the product of two halves of the minibatch, its even and its odd positions. The
    penalty has weight 1 for ``irm_penalty_anneal_iters`` updates, then ``irm_lambda``, with a
    renewed optimizer. A domain with one sample has no odd half: its penalty is zero.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "irm_lambda": Hparam(1e2, power_uniform(10, -1, 5), within=NOT_NEGATIVE),
        "irm_penalty_anneal_iters": Hparam(
            500, integer(power_uniform(10, 0, 4)), within=NOT_NEGATIVE, in_steps=True
        ),
    }

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step; ``nll`` and ``penalty`` (without its weight) are means over domains."""
        weight = self.penalty_weight("irm")
        outputs = self.domain_logits(minibatches)
        nll = mean([F.cross_entropy(f, y) for f, y in outputs])
        penalty = mean(
            [
                scale_derivative(f[::2], y[::2]) * scale_derivative(f[1::2], y[1::2])
                for f, y in outputs
            ]
        )
        loss = nll + weight * penalty
        step(self.optimizer, loss)
        return to_floats(loss=loss, nll=nll, penalty=penalty)


class VREx(_RiskInvariance):
    """Variance Risk Extrapolation: the mean of the domains' risks plus their variance.

    Krueger et al., "Out-of-Distribution Generalization via Risk Extrapolation (REx)", ICML 2021,
    arXiv:2003.00688.

    The population variance; its weight is 1 for ``vrex_penalty_anneal_iters`` updates, then
    ``vrex_lambda``, with a renewed optimizer.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "vrex_lambda": Hparam(1e1, power_uniform(10, -1, 5), within=NOT_NEGATIVE),
        "vrex_penalty_anneal_iters": Hparam(
            500, integer(power_uniform(10, 0, 4)), within=NOT_NEGATIVE, in_steps=True
        ),
    }

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step.

        In the result ``nll`` is the risk of the last domain, as DomainBed logs it, and
        ``mean_nll`` that of all domains; ``penalty`` is without its weight.
        """
        weight = self.penalty_weight("vrex")
        outputs = self.domain_logits(minibatches)
        risks = torch.stack([F.cross_entropy(f, y) for f, y in outputs])
        nll = risks.mean()
        penalty = (risks - nll).pow(2).mean()
        loss = nll + weight * penalty
        step(self.optimizer, loss)
        return to_floats(loss=loss, nll=risks[-1], mean_nll=nll, penalty=penalty)
