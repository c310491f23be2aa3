"""Target-conditioned representation independence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ndcl_domainbed.backend import Algorithm, networks
from ndcl_domainbed.hparams import NOT_NEGATIVE, Hparam, by_dataset, integer, power_uniform
from ndcl_domainbed.testbed.algorithms.annealing import AnnealedPenalty
from ndcl_domainbed.testbed.algorithms.base import (
    Minibatches,
    Shape,
    Unlabeled,
    batch_sizes,
    concatenate,
    mean,
    step,
    to_floats,
)


def _class_kernels(u: Tensor, y: Tensor, num_classes: int) -> Tensor:
    """Return Gaussian kernels (R, n, n) of rows of the same class, zero between classes.

    ``u`` (R, n, D) are R representations of samples of the classes ``y`` (R, n). Each class has its
    own bandwidth in each: σ² is the (lower) median of the non-zero squared distances in the class,
    or 1 if there are none.
    """
    gram = u @ u.mT
    norms = gram.diagonal(dim1=1, dim2=2)
    distances = (norms[:, :, None] + norms[:, None] - 2 * gram).clamp(min=0)
    variances = _class_medians(distances, y, num_classes).gather(1, y)
    exponents = -distances / (2 * variances[:, :, None])
    same = y[:, :, None] == y[:, None]
    return torch.where(same, exponents.exp(), 0.0)


def _class_medians(distances: Tensor, y: Tensor, num_classes: int) -> Tensor:
    """Return the lower median of each class's non-zero distances, 1 if it has none, (R, K)."""
    same_class = y[:, :, None] == y[:, None]
    usable = (same_class & (distances > 0)).triu(1)  # each pair once
    medians = []
    for k in range(num_classes):
        own = usable & (y == k)[:, :, None]
        medians.append(torch.where(own, distances, torch.nan).flatten(1).nanmedian(dim=1).values)
    return torch.stack(medians, dim=1).nan_to_num(1.0)


def class_dependence(a: Tensor, b: Tensor, y: Tensor, num_classes: int) -> Tensor:
    """Return how dependent two representations are, given the class: a sum of HSICs, (M,).

    ``a`` and ``b`` (M, n, D) are of n samples in each of M domains, of the classes ``y`` (M, n).
    For each class, the sum over the entries of the product of the two centered kernel matrices; the
    sum over classes is divided by n and by the number of classes present. A class with one sample
    adds nothing.
    """
    same = (y[:, :, None] == y[:, None]).to(a.dtype)
    shares = same / same.sum(dim=2, keepdim=True)
    kernels = _class_kernels(torch.cat([a, b]), y.repeat(2, 1), num_classes)
    # sum(HKH * HLH) = sum(HK * (HL)ᵀ) for the symmetric, idempotent H = 1 - shares
    one, other = (kernels - shares.repeat(2, 1, 1) @ kernels).chunk(2)
    number_of_classes = shares.diagonal(dim1=1, dim2=2).sum(dim=1)
    return (one * other.mT).sum(dim=(1, 2)) / (y.shape[1] * number_of_classes)


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
    which then stop learning, against the objective; here they keep learning. It also runs the
    featurizer twice in an update; here all terms share one pass.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "tcri_beta": Hparam(100.0, power_uniform(10, -1, 5), within=NOT_NEGATIVE),
        "tcri_beta_anneal_iters": Hparam(
            500, integer(power_uniform(10, 2.5, 5)), within=NOT_NEGATIVE, in_steps=True
        ),
        "tcri_alpha": Hparam(1.0, within=NOT_NEGATIVE),
        "batch_size": Hparam(
            by_dataset(small=64, other=8, vectors=32),
            by_dataset(
                small=integer(power_uniform(2, 3, 9)),
                other=8,
                vectors=integer(power_uniform(2, 3, 5.5)),
            ),
        ),
    }

    classifier: Any
    hparams: Mapping[str, Any]

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
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

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step; the three terms are returned without their weights."""
        is_on = self.penalty_is_on(self.hparams["tcri_beta_anneal_iters"], self._new_optimizer)
        x, y = concatenate(minibatches)
        z = self.featurizer(x)
        general = self.domain_general_featurizer(z)
        spurious = self.spurious_featurizer(z)
        of_domains = batch_sizes(minibatches)
        labels = y.split(of_domains)
        nll = mean(
            [
                F.cross_entropy(logits, label)
                for logits, label in zip(
                    self.classifier(general).split(of_domains), labels, strict=True
                )
            ]
        )
        both = torch.cat([general, spurious], dim=1).split(of_domains)
        own_nll = mean(
            [
                F.cross_entropy(classifier(own), label)
                for classifier, own, label in zip(
                    self.spurious_classifiers, both, labels, strict=True
                )
            ]
        )
        penalty = self._dependence((general, spurious, y), of_domains)
        weight = self.hparams["tcri_beta"] if is_on else 1.0
        loss = nll + self.hparams["tcri_alpha"] * own_nll + weight * penalty
        step(self.optimizer, loss)
        return to_floats(loss=loss, nll=nll, tcri_penalty=penalty, tic_nll=own_nll)

    def _dependence(self, batch: Sequence[Tensor], of_domains: list[int]) -> Tensor:
        """Return the mean over domains of :func:`class_dependence`; all at once if they can be."""
        if len(set(of_domains)) == 1:
            domains = [[tensor.unflatten(0, (len(of_domains), -1)) for tensor in batch]]
        else:
            parts = zip(*(tensor.split(of_domains) for tensor in batch), strict=True)
            domains = [[tensor[None] for tensor in part] for part in parts]
        found = [class_dependence(a, b, y, self.num_classes) for a, b, y in domains]
        return torch.cat(found).mean()

    def predict(self, x: Tensor) -> Tensor:
        """Return the logits (B, K) of the domain-general part."""
        return self.network(x)
