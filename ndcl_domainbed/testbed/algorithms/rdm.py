"""Risk distribution matching."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.hparams import (
    NOT_NEGATIVE,
    Hparam,
    by_dataset,
    choice,
    integer,
    power_uniform,
    uniform,
)
from ndcl_domainbed.testbed.algorithms.alignment import mean_discrepancy
from ndcl_domainbed.testbed.algorithms.annealing import AnnealedPenalty
from ndcl_domainbed.testbed.algorithms.base import (
    Minibatches,
    Unlabeled,
    batch_sizes,
    concatenate,
    step,
    to_floats,
)
from ndcl_domainbed.testbed.algorithms.erm import ERM

_GAMMAS = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)


def variance(values: Tensor) -> Tensor:
    """Return the unbiased variance of (n,) values; of a single one it is zero."""
    return (values - values.mean()).pow(2).sum() / max(len(values) - 1, 1)


class RDM(AnnealedPenalty, ERM):
    """Risk Distribution Matching: the worst domain's risks should be distributed as everybody's.

    Nguyen, Do, Duong & Nguyen, "Domain Generalisation via Risk Distribution Matching", WACV 2024,
    arXiv:2310.18598.

    The risks are the samples' cross-entropies. After ``rdm_penalty_anneal_iters`` updates the
    discrepancy (weight ``rdm_lambda``) and the variances (``variance_weight``) join the mean
    risk, with a new optimizer of learning rate ``rdm_lr``; before, they have no weight.

    Unlike DomainBed's it takes domains of unequal size, one sample, one domain, and any device.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "rdm_lambda": Hparam(
            by_dataset(small=5.0, other=5.0, DomainNet=0.5),
            by_dataset(
                small=uniform(0.1, 10.0),
                other=uniform(0.1, 10.0),
                DomainNet=uniform(0.1, 1.0),
                PACS=uniform(1.0, 10.0),
                TerraIncognita=uniform(1.0, 10.0),
            ),
            within=NOT_NEGATIVE,
        ),
        "rdm_penalty_anneal_iters": Hparam(
            by_dataset(small=1500, other=1500, DomainNet=2400),
            by_dataset(
                small=integer(uniform(800, 2700)),
                other=integer(uniform(800, 2700)),
                DomainNet=integer(uniform(1500, 3000)),
            ),
            within=NOT_NEGATIVE,
            in_steps=True,
        ),
        "variance_weight": Hparam(
            by_dataset(small=0.004, other=0.004, TerraIncognita=0.0, OfficeHome=0.0, DomainNet=0.0),
            by_dataset(
                small=uniform(0.001, 0.007),
                other=uniform(0.001, 0.007),
                TerraIncognita=choice([0.0]),
                OfficeHome=choice([0.0]),
                DomainNet=choice([0.0]),
            ),
            within=NOT_NEGATIVE,
        ),
        "rdm_lr": Hparam(  # on vectors it keeps its ratio to lr
            by_dataset(small=1.5e-5, other=1.5e-5, vectors=3e-4),
            by_dataset(
                small=uniform(8e-6, 2e-5), other=uniform(8e-6, 2e-5), vectors=uniform(1.6e-4, 4e-4)
            ),
            within=NOT_NEGATIVE,
        ),
        "batch_size": Hparam(
            by_dataset(small=64, other=88, vectors=32, DomainNet=40, TerraIncognita=40),
            by_dataset(
                small=integer(power_uniform(2, 3, 9)),
                other=integer(uniform(70, 100)),
                vectors=integer(power_uniform(2, 3, 5.5)),
                DomainNet=integer(uniform(30, 60)),
                TerraIncognita=integer(uniform(30, 60)),
            ),
        ),
    }

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step; both penalties are returned without their weights."""
        is_on = self.penalty_is_on(self.hparams["rdm_penalty_anneal_iters"], self._new_optimizer)
        x, y = concatenate(minibatches)
        risks = F.cross_entropy(self.predict(x), y, reduction="none")
        domains = risks.split(batch_sizes(minibatches))
        means = torch.stack([domain.mean() for domain in domains])
        worst = domains[int(means.argmax())]
        with torch.set_grad_enabled(is_on):
            matching = mean_discrepancy([worst[:, None], risks[:, None]], _GAMMAS)
            spread = variance(risks) + variance(worst)
        weight = self.hparams["rdm_lambda"] if is_on else 0.0
        loss = risk = means.mean()
        if is_on:
            loss = risk + weight * matching + self.hparams["variance_weight"] * spread
        step(self.optimizer, loss)
        return to_floats(
            update_count=int(self.update_count),
            total_loss=loss,
            erm_loss=risk,
            matching_penalty=matching,
            variance_penalty=spread,
            rdm_lambda=weight,
        )

    def _new_optimizer(self) -> torch.optim.Optimizer:
        return self._adam(self.network.parameters(), lr="rdm_lr")
