"""Algorithms that align the feature distributions of the training domains."""

from __future__ import annotations

import functools
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ndcl_domainbed.hparams import NOT_NEGATIVE, Hparam, power_uniform
from ndcl_domainbed.testbed.algorithms.base import Minibatch, mean, scalars, step
from ndcl_domainbed.testbed.algorithms.erm import ERM

MMD_GAMMAS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
"""γ of each Gaussian kernel exp(-γ|u - v|²) in the sum."""

NEGLIGIBLE = -60.0
"""exp of less, 9e-27, is taken for 0: computing with what underflows takes ten times as long."""


def coral_distance(features: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return how far domains' features (n_d, D) differ in their first two moments.

    The mean over all pairs of domains of the mean squared difference of their means (over D
    entries) plus that of their unbiased covariances (over D² entries). One sample shows no
    covariance: it is zero then. Zero if there is one domain.
    """
    width, sizes = features[0].shape[1], [len(z) for z in features]
    if len(features) == 1:
        return features[0].new_zeros(())
    means = [z.mean(dim=0) for z in features]
    centered = [z - center for z, center in zip(features, means, strict=True)]
    shares = [1 / max(n - 1, 1) for n in sizes]
    if sum(sizes) < width:
        # ⟨Σ z_i z_iᵀ, Σ z_j z_jᵀ⟩ = Σ (z_i·z_j)²: no D×D matrix
        rows = torch.cat(centered)
        products = (rows @ rows.T).pow(2)
        weights = _pair_weights(tuple(sizes), tuple(shares), rows.dtype, rows.device)
        apart = (products * weights).sum() / width**2
    else:
        apart = _mean_over_pairs(
            [z.T @ z * share for z, share in zip(centered, shares, strict=True)]
        )
    return _mean_over_pairs(means) + apart


def _mean_over_pairs(values: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the mean, over all pairs of tensors and all entries, of the squared differences."""
    stacked = torch.stack(list(values))
    # Σ_{i<j} |v_i - v_j|² = M Σ_i |v_i - v̄|²
    return (stacked - stacked.mean(dim=0)).pow(2).mean() * (2 * len(values) / (len(values) - 1))


@functools.lru_cache(maxsize=8)  # the next update asks for the same: they stay on the device
def _pair_weights(
    sizes: tuple[int, ...], shares: tuple[float, ...], dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    """Return the weights (B, B) that turn products of samples into a mean over pairs of domains.

    With a_d the sum of the rows of domain d times ``shares`` d, the sum of ⟨row i, row j⟩ times
    entry (i, j) is the mean of |a_d - a_e|² over all pairs of domains.
    """
    count = len(sizes)
    factors = torch.tensor(shares, dtype=torch.float64)
    of_domains = (count * torch.eye(count) - 1) * factors[:, None] * factors
    of_domains = of_domains / (count * (count - 1) / 2)
    repeats = torch.tensor(sizes)
    weights = of_domains.repeat_interleave(repeats, dim=0).repeat_interleave(repeats, dim=1)
    return weights.to(dtype).to(device, non_blocking=True)


SMALLEST_SQUARE = 1e-30
"""A squared distance is at least this: rounding can make it negative."""


def squared_lengths(rows: torch.Tensor) -> torch.Tensor:
    """Return the squared Euclidean lengths (n, 1) of rows."""
    return rows.pow(2).sum(dim=1, keepdim=True)


def squared_distances(
    a: torch.Tensor, b: torch.Tensor, lengths_b: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the squared Euclidean distances (n, m) between the rows of two matrices.

    From the expansion |u|² + |v|² - 2uv, at least SMALLEST_SQUARE; ``lengths_b`` (m, 1) are the
    squared lengths of ``b``, if they are known.
    """
    lengths_a = squared_lengths(a)
    lengths_b = squared_lengths(b) if lengths_b is None else lengths_b
    return torch.addmm(lengths_b.T, a, b.T, alpha=-2).add(lengths_a).clamp(min=SMALLEST_SQUARE)


def mean_discrepancy(features: Sequence[torch.Tensor], gammas: Sequence[float]) -> torch.Tensor:
    """Return the squared maximum mean discrepancy, averaged over all pairs of domains.

    ``features`` are (n_d, D). The biased estimate, with the diagonals of the kernel matrices; the
    kernel is the sum of the Gaussian ones exp(-γ|u - v|²), γ in ``gammas``. Zero if there is one
    domain.
    """
    if len(features) == 1:
        return features[0].new_zeros(())
    rows, sizes = torch.cat(list(features)), [len(z) for z in features]
    kernels = _GaussianKernels.apply(squared_distances(rows, rows), tuple(gammas))
    shares = tuple(1 / n for n in sizes)
    return (kernels * _pair_weights(tuple(sizes), shares, rows.dtype, rows.device)).sum()


class _GaussianKernels(torch.autograd.Function):
    """The sum of exp(-γ s) over several γ, for squared distances s: its slope is Σ -γ exp(-γ s)."""

    @staticmethod
    def forward(ctx: Any, distances: torch.Tensor, gammas: tuple[float, ...]) -> torch.Tensor:
        floor = math.exp(NEGLIGIBLE)
        kernels = [(distances * -gamma).clamp_(min=NEGLIGIBLE).exp_() for gamma in gammas]
        kernels = [torch.threshold_(kernel, floor, 0.0) for kernel in kernels]
        ctx.save_for_backward(*kernels)
        ctx.gammas = gammas
        return functools.reduce(torch.add, kernels)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        slope = torch.zeros_like(gradient)
        for kernel, gamma in zip(reversed(ctx.saved_tensors), reversed(ctx.gammas), strict=True):
            slope.add_((gradient * kernel).mul_(-gamma))
        return slope, None


def discrepancy(a: torch.Tensor, b: torch.Tensor, gammas: Sequence[float]) -> torch.Tensor:
    """Return :func:`mean_discrepancy` of two samples (n, D) and (m, D)."""
    return mean_discrepancy([a, b], gammas)


class _Alignment(ERM):
    """Cross-entropy, averaged over domains, plus a distance between their features."""

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "mmd_gamma": Hparam(1.0, power_uniform(10, -1, 1), within=NOT_NEGATIVE)
    }

    @staticmethod
    @abstractmethod
    def distance(features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the distance between the features (n_d, D) of the domains."""

    def update(
        self, minibatches: Sequence[Minibatch], unlabeled: Sequence[torch.Tensor] | None = None
    ) -> dict[str, float]:
        """Make one step on the mean of the domains' cross-entropies plus the penalty.

        ``loss`` in the result is the cross-entropy alone, ``penalty`` is without its weight.
        """
        features = [self.featurizer(x) for x, _ in minibatches]
        logits = [self.classifier(z) for z in features]
        loss = mean([F.cross_entropy(f, y) for f, (_, y) in zip(logits, minibatches, strict=True)])
        penalty = self.distance(features)
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
    def distance(features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return :func:`coral_distance`."""
        return coral_distance(features)


class MMD(_Alignment):
    """Maximum mean discrepancy between the features of two domains, with Gaussian kernels.

    Li, Pan, Wang & Kot, "Domain Generalization with Adversarial Feature Learning", CVPR 2018
    (its MMD term only: there is no autoencoder and no adversary).

    The biased estimate, diagonals included; the kernel is a sum over seven bandwidths.
    """

    @staticmethod
    def distance(features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return :func:`mean_discrepancy` with seven bandwidths."""
        return mean_discrepancy(features, MMD_GAMMAS)
