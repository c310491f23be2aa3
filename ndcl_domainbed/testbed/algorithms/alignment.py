"""Algorithms that align the feature distributions of the training domains."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import ClassVar

import torch
from torch.nn import functional as F

from ndcl_domainbed.hparams import Hparam, power_uniform
from ndcl_domainbed.testbed.algorithms.base import Minibatch, mean, scalars, step
from ndcl_domainbed.testbed.algorithms.erm import ERM

MMD_BANDWIDTHS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)


def _mean_and_covariance(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean (D,) and the unbiased covariance (D, D) of features (n, D)."""
    center = z.mean(dim=0)
    centered = z - center
    return center, centered.T @ centered / max(len(z) - 1, 1)


def coral_distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return how far features (n, D) and (m, D) differ in their first two moments.

    It is the mean squared difference of the means (over D entries) plus that of the unbiased
    covariances (over D² entries). One sample shows no covariance: it is zero then.
    """
    (mean_a, covariance_a), (mean_b, covariance_b) = map(_mean_and_covariance, (a, b))
    return (mean_a - mean_b).pow(2).mean() + (covariance_a - covariance_b).pow(2).mean()


def squared_distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the squared Euclidean distances (n, m) between the rows of two matrices.

    From the expansion |u|² + |v|² - 2uv, at least 1e-30.
    """
    norms_a, norms_b = a.pow(2).sum(dim=1, keepdim=True), b.pow(2).sum(dim=1, keepdim=True)
    return torch.addmm(norms_b.T, a, b.T, alpha=-2).add(norms_a).clamp(min=1e-30)


def kernel_mean(a: torch.Tensor, b: torch.Tensor, bandwidths: Sequence[float]) -> torch.Tensor:
    """Return the mean over all pairs of rows of the sum of Gaussian kernels exp(-γ|u - v|²)."""
    distances = squared_distances(a, b)
    kernels = torch.zeros_like(distances)
    for gamma in bandwidths:
        kernels = kernels + torch.exp(-gamma * distances)
    return kernels.mean()


def discrepancy(a: torch.Tensor, b: torch.Tensor, bandwidths: Sequence[float]) -> torch.Tensor:
    """Return the squared maximum mean discrepancy of two samples (n, D) and (m, D).

    The biased estimate, with the diagonals of the kernel matrices.
    """
    own = kernel_mean(a, a, bandwidths) + kernel_mean(b, b, bandwidths)
    return own - 2 * kernel_mean(a, b, bandwidths)


def pair_average(
    features: Sequence[torch.Tensor],
    distance: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Return the mean of ``distance`` over all pairs of domains; zero if there is one domain."""
    pairs = [distance(a, b) for a, b in combinations(features, 2)]
    return mean(pairs) if pairs else features[0].new_zeros(())


class _Alignment(ERM):
    """Cross-entropy, averaged over domains, plus a distance between their features."""

    HPARAMS: ClassVar[dict[str, Hparam]] = {"mmd_gamma": Hparam(1.0, power_uniform(10, -1, 1))}

    @staticmethod
    @abstractmethod
    def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return the distance between the features (n, D) and (m, D) of two domains."""

    def update(
        self, minibatches: Sequence[Minibatch], unlabeled: Sequence[torch.Tensor] | None = None
    ) -> dict[str, float]:
        """Make one step on the mean of the domains' cross-entropies plus the penalty.

        ``loss`` in the result is the cross-entropy alone, ``penalty`` is without its weight.
        """
        features = [self.featurizer(x) for x, _ in minibatches]
        logits = [self.classifier(z) for z in features]
        loss = mean([F.cross_entropy(f, y) for f, (_, y) in zip(logits, minibatches, strict=True)])
        penalty = pair_average(features, self.distance)
        step(self.optimizer, loss + self.hparams["mmd_gamma"] * penalty)
        return scalars(loss=loss, penalty=penalty)


class CORAL(_Alignment):
    """Deep CORAL: matches means and covariances of the features.

    Sun & Saenko, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation", ECCV 2016
    Workshops, arXiv:1607.01719.

    As in DomainBed the penalty averages over entries, and matches means too: the paper has the
    Frobenius norm over 4D² of the covariances alone. A domain with one sample in the minibatch
    has covariance zero (DomainBed divides 0 by 0 and loses the weights to NaN).
    """

    @staticmethod
    def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return :func:`coral_distance`."""
        return coral_distance(a, b)


class MMD(_Alignment):
    """Maximum mean discrepancy between the features of two domains, with Gaussian kernels.

    Li, Pan, Wang & Kot, "Domain Generalization with Adversarial Feature Learning", CVPR 2018
    (its MMD term only: there is no autoencoder and no adversary).

    The biased estimate, diagonals included; the kernel is a sum over seven bandwidths.
    """

    @staticmethod
    def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return :func:`discrepancy` with seven bandwidths."""
        return discrepancy(a, b, MMD_BANDWIDTHS)
