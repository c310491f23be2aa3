"""Invariant gradient variances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch.autograd.function import once_differentiable
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from ndcl_domainbed.hparams import BELOW_ONE, NOT_NEGATIVE, Hparam, integer, power_uniform, uniform
from ndcl_domainbed.testbed.algorithms.annealing import AnnealedPenalty
from ndcl_domainbed.testbed.algorithms.base import Minibatch, joined, scalars, sizes, step
from ndcl_domainbed.testbed.algorithms.erm import ERM


def gradient_variance(
    classifier: torch.nn.Module, z: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    """Return the population variance (P,), over samples, of the classifier's P gradients.

    ``z`` (n, D) are features with labels ``y`` (n,); a sample's gradient is that of its own
    cross-entropy. Differentiable (once) in the classifier and in ``z``. For a linear classifier,
    whose gradients are (p - e_y) zᵀ and p - e_y, in closed form without storing them.
    """
    return torch.cat(_variance_parts(classifier, z, y))


def _variance_parts(
    classifier: torch.nn.Module, z: torch.Tensor, y: torch.Tensor
) -> list[torch.Tensor]:
    """Return the parts of :func:`gradient_variance`."""
    if not isinstance(classifier, torch.nn.Linear):
        return [_per_sample_gradients(classifier, z, y).var(dim=0, correction=0)]
    errors = classifier(z).softmax(dim=1) - F.one_hot(y, classifier.out_features)
    return [_ProductVariance.apply(errors, z).flatten(), errors.var(dim=0, correction=0)]


class _ProductVariance(torch.autograd.Function):
    """The variance V (K, D), over samples, of the products e_i z_iᵀ, for E (n, K) and Z (n, D).

    V = (E∘E)ᵀ(Z∘Z)/n - M∘M with the mean M = EᵀZ/n. With G the slope of V, those of E and Z are
    2/n times E∘((Z∘Z)Gᵀ) - Z(M∘G)ᵀ and Z∘((E∘E)G) - E(M∘G).
    """

    @staticmethod
    def forward(ctx: Any, errors: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        share = errors / len(z)
        middle = share.T @ z
        ctx.save_for_backward(errors, z, middle)
        return torch.addmm(middle.square(), (share * errors).T, z.square(), beta=-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        errors, z, middle = ctx.saved_tensors
        of_middle = middle * gradient
        of_errors = errors * (z.square() @ gradient.T) - z @ of_middle.T
        of_z = z * (errors.square() @ gradient) - errors @ of_middle
        scale = 2 / max(len(z), 1)  # of a domain without samples there is nothing to scale
        return of_errors * scale, of_z * scale


class _MeanSquaredDeviation(torch.autograd.Function):
    """The mean square of what rows u_d deviate by from their mean, for u_d = smoothed_d / share.

    ``smoothed`` has the share ``share`` of ``variances`` in it, so the slope of u in them is 1.
    """

    @staticmethod
    def forward(
        ctx: Any, variances: torch.Tensor, smoothed: torch.Tensor, share: float
    ) -> torch.Tensor:
        apart = smoothed - smoothed.mean(dim=0)
        ctx.save_for_backward(apart)
        ctx.factor = 2 / (share * apart.numel())
        return apart.square().sum() / (share**2 * apart.numel())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (apart,) = ctx.saved_tensors
        return apart * (gradient * ctx.factor), None, None


def _per_sample_gradients(
    classifier: torch.nn.Module, z: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    """Return the gradients (n, P) of each sample's cross-entropy for all parameters."""

    def loss(
        parameters: dict[str, torch.Tensor], features: torch.Tensor, label: torch.Tensor
    ) -> torch.Tensor:
        return F.cross_entropy(functional_call(classifier, parameters, (features,)), label)

    parameters: dict[str, torch.Tensor] = dict(classifier.named_parameters())
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
        "penalty_anneal_iters": Hparam(1500, integer(uniform(0, 5000)), within=NOT_NEGATIVE),
        "ema": Hparam(0.95, uniform(0.90, 0.99), within=BELOW_ONE),
    }

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        num_domains: int,
        hparams: Mapping[str, Any],
    ) -> None:
        super().__init__(input_shape, num_classes, num_domains, hparams)
        size = sum(parameter.numel() for parameter in self.classifier.parameters())
        self.smoothed = torch.zeros(num_domains, size)

    def update(
        self, minibatches: Sequence[Minibatch], unlabeled: Sequence[torch.Tensor] | None = None
    ) -> dict[str, float]:
        """Make one step; ``nll`` is the cross-entropy, ``penalty`` is without its weight."""
        is_on = self.penalty_is_on(
            self.hparams["penalty_anneal_iters"],
            lambda: self._adam(self.network.parameters()),
        )
        x, y = joined(minibatches)
        z = self.featurizer(x)
        with torch.set_grad_enabled(is_on):
            penalty = self.penalty(z.split(sizes(minibatches)), [y for _, y in minibatches])
        nll = F.cross_entropy(self.classifier(z), y)
        loss = nll + self.hparams["lambda"] * penalty if is_on else nll
        step(self.optimizer, loss)
        return scalars(loss=loss, nll=nll, penalty=penalty)

    def penalty(
        self, features: Sequence[torch.Tensor], labels: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Return how far the smoothed variances of the domains differ; advances them."""
        parts = [
            part
            for z, y in zip(features, labels, strict=True)
            for part in _variance_parts(self.classifier, z, y)
        ]
        variances = torch.cat(parts).view(len(labels), -1)
        share = 1 - self.hparams["ema"]
        self.smoothed = self.smoothed.to(variances).lerp(variances.detach(), share)
        return _MeanSquaredDeviation.apply(variances, self.smoothed, share)
