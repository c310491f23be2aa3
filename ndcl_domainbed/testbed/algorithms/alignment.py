"""Algorithms that align the feature distributions of the training domains."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.hparams import NOT_NEGATIVE, Hparam, power_uniform
from ndcl_domainbed.testbed.algorithms.base import Minibatches, Unlabeled, mean, step, to_floats
from ndcl_domainbed.testbed.algorithms.erm import ERM

MMD_GAMMAS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
"""γ of each Gaussian kernel exp(-γ|u - v|²) in the sum."""


def coral_distance(features: Sequence[Tensor]) -> Tensor:
    """Return how far domains' features (n_d, D) differ in their first two moments.

    The mean over all pairs of domains of the mean squared difference of their means (over D
    entries) plus that of their unbiased covariances (over D² entries). One sample shows no
    covariance: it is zero then. Zero if there is one domain.

    >>> coral_distance([torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [3.0]])])  # 2² + 2²
    tensor(8.)
    """
    if len(features) == 1:
        return features[0].new_zeros(())
    means = [z.mean(dim=0) for z in features]
    centered = [z - center for z, center in zip(features, means, strict=True)]
    covariances = [z.T @ z / max(len(z) - 1, 1) for z in centered]
    return _mean_over_pairs(means) + _mean_over_pairs(covariances)


def _mean_over_pairs(values: Sequence[Tensor]) -> Tensor:
    """Return the mean, over all pairs of tensors and all entries, of the squared differences."""
    stacked = torch.stack(list(values))
    # Σ_{i<j} |v_i - v_j|² = M Σ_i |v_i - v̄|²
    return (stacked - stacked.mean(dim=0)).pow(2).mean() * (2 * len(values) / (len(values) - 1))


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return |u|² + |v|² - 2uv of the rows of ``a`` (n, D) and ``b`` (m, D), (n, m), >= 0."""
    lengths_a, lengths_b = a.pow(2).sum(dim=1), b.pow(2).sum(dim=1)
    return (lengths_a[:, None] + lengths_b - 2 * a @ b.T).clamp(min=0)


def mean_discrepancy(features: Sequence[Tensor], gammas: Sequence[float]) -> Tensor:
    """Return the squared maximum mean discrepancy, averaged over all pairs of domains.

    For domains a and b it is mean k(u, u') - 2 mean k(u, v) + mean k(v, v') over the rows u, u' of
    a and v, v' of b: the biased estimate, with the diagonals of the kernel matrices. ``features``
    are (n_d, D); the kernel k is the sum of the Gaussian ones exp(-γ|u - v|²), γ in ``gammas``.
    Zero if there is one domain. Source: Gretton et al., JMLR 2012, Eq. 5.

    >>> mean_discrepancy([torch.tensor([[0.0]]), torch.tensor([[1.0]])], [1.0])  # 2 - 2/e
    tensor(1.2642)
    """
    if len(features) == 1:
        return features[0].new_zeros(())
    rows, count = torch.cat(list(features)), len(features)
    distances = squared_distances(rows, rows)
    kernels = torch.stack([(-gamma * distances).exp() for gamma in gammas]).sum(dim=0)
    averaging = torch.block_diag(*(z.new_full((1, len(z)), 1 / len(z)) for z in features))
    means = averaging @ kernels @ averaging.T  # of each two domains, (M, M)
    within = means.diagonal()
    return (within[:, None] + within - 2 * means).sum() / (count * (count - 1))


class _Alignment(ERM):
    """Cross-entropy, averaged over domains, plus a distance between their features."""

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "mmd_gamma": Hparam(1.0, power_uniform(10, -1, 1), within=NOT_NEGATIVE)
    }

    @staticmethod
    @abstractmethod
    def distance(features: Sequence[Tensor]) -> Tensor:
        """Return the distance between the features (n_d, D) of the domains."""

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step on the mean of the domains' cross-entropies plus the penalty.

        ``loss`` in the result is the cross-entropy alone, ``penalty`` is without its weight.
        """
        features = [self.featurizer(x) for x, _ in minibatches]
        logits = [self.classifier(z) for z in features]
        loss = mean([F.cross_entropy(f, y) for f, (_, y) in zip(logits, minibatches, strict=True)])
        penalty = self.distance(features)
        step(self.optimizer, loss + self.hparams["mmd_gamma"] * penalty)
        return to_floats(loss=loss, penalty=penalty)


class CORAL(_Alignment):
    """Deep CORAL: matches means and covariances of the features.

    Sun & Saenko, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation", ECCV 2016
    Workshops, arXiv:1607.01719.

    As in DomainBed the penalty averages over entries, and matches means too: the paper has the
    Frobenius norm over 4D² of the covariances alone. A domain with one sample in the minibatch
    has covariance zero (DomainBed divides 0 by 0 and loses the weights to NaN).
    """

    @staticmethod
    def distance(features: Sequence[Tensor]) -> Tensor:
        """Return :func:`coral_distance`."""
        return coral_distance(features)


class MMD(_Alignment):
    """Maximum mean discrepancy between the features of two domains, with Gaussian kernels.

    Li, Pan, Wang & Kot, "Domain Generalization with Adversarial Feature Learning", CVPR 2018
    (its MMD term only: there is no autoencoder and no adversary).

    The biased estimate, diagonals included; the kernel is a sum over seven bandwidths.
    """

    @staticmethod
    def distance(features: Sequence[Tensor]) -> Tensor:
        """Return :func:`mean_discrepancy` with seven bandwidths."""
        return mean_discrepancy(features, MMD_GAMMAS)
