"""Target-conditioned representation independence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ndcl_domainbed.backend import Algorithm, networks
from ndcl_domainbed.hparams import NOT_NEGATIVE, Hparam, by_dataset, integer, power_uniform
from ndcl_domainbed.testbed.algorithms.annealing import AnnealedPenalty
from ndcl_domainbed.testbed.algorithms.base import Minibatch, joined, mean, scalars, sizes, step


def _class_kernels(u: torch.Tensor, y: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Return Gaussian kernels (R, n, n) of rows of the same class, zero between classes.

    ``u`` (R, n, D) are R representations. Each class has its own bandwidth in each: σ² is the
    (lower) median of the non-zero squared distances in the class, or 1 if there are none.
    """
    gram = u @ u.mT
    norms = gram.diagonal(dim1=1, dim2=2)
    distances = (norms[:, :, None] + norms[:, None] - 2 * gram).clamp(min=0)
    same = y[:, None] == y
    variances = _class_medians(distances, same, y, num_classes).index_select(1, y)
    return torch.where(same, torch.exp(-distances / (2 * variances[:, :, None])), 0.0)


def _class_medians(
    distances: torch.Tensor, same: torch.Tensor, y: torch.Tensor, num_classes: int
) -> torch.Tensor:
    """Return the lower median of each class's non-zero distances, 1 if it has none, (R, K).

    All pairs are sorted by distance and then by class, so the work does not grow with K.
    """
    usable = same.triu(1) & (distances > 0)
    labels = torch.where(usable, y, num_classes).flatten(1)
    order = distances.detach().flatten(1).argsort(dim=1)
    by_class = labels.gather(1, order).argsort(dim=1, stable=True)
    counts = labels.new_zeros(len(labels), num_classes + 1)
    counts = counts.scatter_add(1, labels, torch.ones_like(labels))
    starts, counts = (counts.cumsum(1) - counts)[:, :-1], counts[:, :-1]
    middle = (starts + (counts - 1).clamp(min=0) // 2).clamp(max=order.shape[1] - 1)
    chosen = order.gather(1, by_class.gather(1, middle))
    return torch.where(counts > 0, distances.flatten(1).gather(1, chosen), 1.0)


def class_dependence(
    a: torch.Tensor, b: torch.Tensor, y: torch.Tensor, num_classes: int
) -> torch.Tensor:
    """Return how dependent two representations (n, D) are, given the class: a sum of HSICs.

    ``y`` (n,) are the classes. For each, the sum over the entries of the product of the two
    centred kernel matrices; the sum over classes is divided by n and by the number of classes
    present. A class with one sample adds nothing.
    """
    same = (y[:, None] == y).to(a.dtype)
    shares = same / same.sum(dim=1)
    kernels = _class_kernels(torch.stack([a, b]), y, num_classes)
    # sum(HKH * HLH) = sum(HK * (HL)ᵀ) for the symmetric, idempotent H = 1 - shares
    one, other = kernels - shares @ kernels
    number_of_classes = shares.diagonal().sum()
    return (one * other.T).sum() / (len(y) * number_of_classes)


class TCRI_HSIC(AnnealedPenalty, Algorithm):
    """Target-Conditioned Representation Independence, measured by HSIC.

    Salaudeen & Koyejo, "Causally Inspired Regularization Enables Domain General Representations",
    AISTATS 2024, arXiv:2404.16277.

    Two linear maps of the features give a domain-general part a and a spurious part b. The
    objective is the risk of c(a), plus ``tcri_alpha`` times the risk of the domain's own
    classifier of [a, b], plus the dependence of a and b given the class (weight 1, then, after
    ``tcri_beta_anneal_iters`` updates, ``tcri_beta``, with a renewed optimizer), each averaged
    over domains. Predictions use c(a).

    The authors' code renews the optimizer without the spurious part and the domains' classifiers,
    which then stop learning, against the objective: here they go on. It also runs the featurizer
    twice in an update; here all terms share one pass.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "tcri_beta": Hparam(100.0, power_uniform(10, -1, 5), within=NOT_NEGATIVE),
        "tcri_beta_anneal_iters": Hparam(
            500, integer(power_uniform(10, 2.5, 5)), within=NOT_NEGATIVE
        ),
        "tcri_alpha": Hparam(1.0, within=NOT_NEGATIVE),
        "batch_size": Hparam(
            by_dataset(small=64, other=8),
            by_dataset(small=integer(power_uniform(2, 3, 9)), other=8),
        ),
    }

    classifier: Any
    hparams: Mapping[str, Any]

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        num_domains: int,
        hparams: Mapping[str, Any],
    ) -> None:
        super().__init__(input_shape, num_classes, num_domains, hparams)
        nonlinear = self.hparams["nonlinear_classifier"]
        self.featurizer = networks.Featurizer(input_shape, self.hparams)
        width = self.featurizer.n_outputs
        self.classifier = networks.Classifier(width, num_classes, nonlinear)
        self.spurious_featurizer = nn.Sequential(nn.Linear(width, width))
        self.domain_general_featurizer = nn.Sequential(nn.Linear(width, width))
        self.spurious_classifiers = nn.ModuleList(
            networks.Classifier(2 * width, num_classes, nonlinear) for _ in range(num_domains)
        )
        self.network = nn.Sequential(
            self.featurizer, self.domain_general_featurizer, self.classifier
        )
        self.num_classes = num_classes
        self.optimizer = self._new_optimizer()

    def _new_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(
            self.parameters(), lr=self.hparams["lr"], weight_decay=self.hparams["weight_decay"]
        )

    def update(
        self, minibatches: Sequence[Minibatch], unlabeled: Sequence[torch.Tensor] | None = None
    ) -> dict[str, float]:
        """Make one step; the three terms are returned without their weights."""
        is_on = self.penalty_is_on(self.hparams["tcri_beta_anneal_iters"], self._new_optimizer)
        x, y = joined(minibatches)
        z = self.featurizer(x)
        general = self.domain_general_featurizer(z)
        spurious = self.spurious_featurizer(z)
        domains = list(
            zip(*[t.split(sizes(minibatches)) for t in (general, spurious, y)], strict=True)
        )
        nll = mean([F.cross_entropy(self.classifier(a), y) for a, _, y in domains])
        own_nll = mean(
            [
                F.cross_entropy(classifier(torch.cat([a, b], dim=1)), y)
                for classifier, (a, b, y) in zip(self.spurious_classifiers, domains, strict=True)
            ]
        )
        penalty = mean([class_dependence(a, b, y, self.num_classes) for a, b, y in domains])
        weight = self.hparams["tcri_beta"] if is_on else 1.0
        loss = nll + self.hparams["tcri_alpha"] * own_nll + weight * penalty
        step(self.optimizer, loss)
        return scalars(loss=loss, nll=nll, tcri_penalty=penalty, tic_nll=own_nll)

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits (B, K) of the domain-general part."""
        return self.network(x)
