"""Invariant gradient variances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from ndcl_domainbed.hparams import BELOW_ONE, NOT_NEGATIVE, Hparam, integer, power_uniform, uniform
from ndcl_domainbed.testbed.algorithms.annealing import AnnealedPenalty
from ndcl_domainbed.testbed.algorithms.base import (
    Minibatches,
    Shape,
    Unlabeled,
    batch_sizes,
    concatenate,
    step,
    to_floats,
)
from ndcl_domainbed.testbed.algorithms.erm import ERM


def linear_variances(errors: Tensor, z: Tensor) -> Tensor:
    """Return the variances (K·D + K,) of a linear classifier's gradients over n samples.

    For cross-entropy the gradient of a sample is e zᵀ for the weights and e for the biases, with
    the error e = p - e_y, a row of ``errors`` (n, K), and the features z, a row of ``z`` (n, D).
    The variance is E[(e zᵀ)²] - E[e zᵀ]², entry by entry, without any (n, K, D) tensor.

    >>> linear_variances(torch.tensor([[1.0], [3.0]]), torch.tensor([[1.0], [1.0]]))
    tensor([1., 1.])
    """
    mean = errors.T @ z / len(z)
    of_weights = errors.square().T @ z.square() / len(z) - mean.square()
    return torch.cat([of_weights.flatten(), errors.var(dim=0, correction=0)])


def _per_sample_gradients(classifier: torch.nn.Module, z: Tensor, y: Tensor) -> Tensor:
    """Return the gradients (n, P) of each sample's cross-entropy for all parameters."""

    def loss(parameters: dict[str, Tensor], features: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(classifier, parameters, (features,)), label)

    parameters: dict[str, Tensor] = dict(classifier.named_parameters())
    gradients = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, z, y)
    return torch.cat([gradients[name].flatten(1) for name in parameters], dim=1)


class Fishr(AnnealedPenalty, ERM):
    """Fishr: the variances of the classifier's gradients should agree between domains.

    Rame, Dancette & Cord, "Fishr: Invariant Gradient Variances for Out-of-Distribution
    Generalization", ICML 2022, arXiv:2109.02934.

    Each domain's variances are smoothed over updates (``ema``), always; the penalty, the mean
    squared deviation from the domains' mean, gets its weight ``lambda`` after
    ``penalty_anneal_iters`` updates, with a renewed optimizer, and none before.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "lambda": Hparam(1000.0, power_uniform(10, 1, 4), within=NOT_NEGATIVE),
        "penalty_anneal_iters": Hparam(
            1500, integer(uniform(0, 5000)), within=NOT_NEGATIVE, in_steps=True
        ),
        "ema": Hparam(0.95, uniform(0.90, 0.99), within=BELOW_ONE),
    }

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
    ) -> None:
        super().__init__(input_shape, num_classes, num_domains, hparams)
        size = sum(parameter.numel() for parameter in self.classifier.parameters())
        self.smoothed = torch.zeros(num_domains, size)

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step; ``nll`` is the cross-entropy, ``penalty`` is without its weight."""
        is_on = self.penalty_is_on(
            self.hparams["penalty_anneal_iters"],
            lambda: self._adam(self.network.parameters()),
        )
        x, y = concatenate(minibatches)
        z = self.featurizer(x)
        logits = self.classifier(z)
        with torch.set_grad_enabled(is_on):
            penalty = self.penalty(logits, z, y, batch_sizes(minibatches))
        nll = F.cross_entropy(logits, y)
        loss = nll + self.hparams["lambda"] * penalty if is_on else nll
        step(self.optimizer, loss)
        return to_floats(loss=loss, nll=nll, penalty=penalty)

    def penalty(self, logits: Tensor, z: Tensor, y: Tensor, sizes: Sequence[int]) -> Tensor:
        """Return how far the smoothed variances of the domains differ; advances them."""
        share = 1 - self.hparams["ema"]
        errors = logits.softmax(dim=1) - F.one_hot(y, logits.shape[1])
        domains = zip(*(rows.split(list(sizes)) for rows in (errors, z, y)), strict=True)
        variances = torch.stack([self._variances(*domain) for domain in domains])
        smoothed = self.smoothed.to(z).lerp(variances, share)
        self.smoothed = smoothed.detach()
        return (smoothed - smoothed.mean(dim=0)).square().mean() / share**2

    def _variances(self, errors: Tensor, z: Tensor, y: Tensor) -> Tensor:
        """Return the variances (P,) of the classifier's gradients over the samples of a domain."""
        if isinstance(self.classifier, torch.nn.Linear):
            return linear_variances(errors, z)
        return _per_sample_gradients(self.classifier, z, y).var(dim=0, correction=0)
