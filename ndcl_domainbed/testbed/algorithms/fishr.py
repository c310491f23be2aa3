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


class _LinearPenalty(torch.autograd.Function):
    """Fishr's penalty for a linear classifier, whose gradients are e zᵀ and e = p - e_y.

    For E (n, K) and Z (n, D) of a domain, the variance of its gradients is that of E's columns and
    V = (E∘E)ᵀ(Z∘Z)/n - M∘M with the mean M = EᵀZ/n: no gradient of a sample is ever stored. With
    G the slope of V, those of E and Z are 2/n times E∘((Z∘Z)Gᵀ) - Z(M∘G)ᵀ and Z∘((E∘E)G) - E(M∘G).
    ``smoothed`` (M, K·D + K) takes in the share ``share`` of the variances, in place, and the
    penalty is the mean square of what smoothed / share deviates by from its mean over the domains.
    """

    @staticmethod
    def forward(
        ctx: Any,
        errors: torch.Tensor,
        z: torch.Tensor,
        sizes: tuple[int, ...],
        smoothed: torch.Tensor,
        share: float,
    ) -> torch.Tensor:
        classes, width = errors.shape[1], z.shape[1]
        weights = smoothed[:, : classes * width].view(len(sizes), classes, width)
        biases = smoothed[:, classes * width :]
        means = z.new_empty(weights.shape)
        domains = zip(errors.split(sizes), z.split(sizes), means, strict=True)
        for domain, (own, features, mean) in enumerate(domains):
            share_of = own / max(len(own), 1)
            torch.mm(share_of.T, features, out=mean)
            products = (share_of * own).T, features.square()  # V itself is never stored either
            weights[domain].addmm_(*products, beta=1 - share, alpha=share)
            weights[domain].addcmul_(mean, mean, value=-share)
            biases[domain].lerp_((own - own.mean(dim=0)).square_().mean(dim=0), share)
        centering = torch.eye(len(sizes), dtype=z.dtype, device=z.device) - 1 / len(sizes)
        # half the time of subtracting the mean; with `out`, autocast leaves the type alone
        deviations = torch.mm(centering, smoothed, out=torch.empty_like(smoothed))
        apart = deviations[:, : classes * width].view_as(weights)
        of_biases = deviations[:, classes * width :]
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(errors, z, means.mul_(apart), apart, of_biases)
        ctx.sizes, ctx.slope = sizes, 2 / (share * smoothed.numel())
        total = torch.dot(deviations.flatten(), deviations.flatten())
        return total / (share**2 * smoothed.numel())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        errors, z, *of_domains = ctx.saved_tensors
        of_errors, of_z = torch.empty_like(errors), torch.empty_like(z)
        for own, features, of_mean, slope, of_biases, of_own, of_features in zip(
            *(t.split(ctx.sizes) for t in (errors, z)),
            *of_domains,
            *(t.split(ctx.sizes) for t in (of_errors, of_z)),
            strict=True,
        ):
            scale = gradient * (2 * ctx.slope / max(len(own), 1))
            torch.mm(features.square(), slope.T, out=of_own).mul_(own)
            of_own.addcmul_(own - own.mean(dim=0), of_biases)
            of_own.addmm_(features, of_mean.T, alpha=-1).mul_(scale)
            torch.mm(own.square(), slope, out=of_features).mul_(features)
            of_features.addmm_(own, of_mean, alpha=-1).mul_(scale)
        return of_errors, of_z, None, None, None


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
        "penalty_anneal_iters": Hparam(
            1500, integer(uniform(0, 5000)), within=NOT_NEGATIVE, in_steps=True
        ),
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
        logits = self.classifier(z)
        with torch.set_grad_enabled(is_on):
            penalty = self.penalty(logits, z, y, sizes(minibatches))
        nll = F.cross_entropy(logits, y)
        loss = nll + self.hparams["lambda"] * penalty if is_on else nll
        step(self.optimizer, loss)
        return scalars(loss=loss, nll=nll, penalty=penalty)

    def penalty(
        self, logits: torch.Tensor, z: torch.Tensor, y: torch.Tensor, sizes: Sequence[int]
    ) -> torch.Tensor:
        """Return how far the smoothed variances of the domains differ; advances them."""
        share = 1 - self.hparams["ema"]
        self.smoothed = self.smoothed.to(z)
        if isinstance(self.classifier, torch.nn.Linear):
            own = y[:, None]
            errors = logits.softmax(dim=1).scatter_add(1, own, logits.new_full(own.shape, -1))
            return _LinearPenalty.apply(errors, z, tuple(sizes), self.smoothed, share)
        domains = zip(z.split(list(sizes)), y.split(list(sizes)), strict=True)
        gradients = [_per_sample_gradients(self.classifier, *domain) for domain in domains]
        variances = torch.stack([g.var(dim=0, correction=0) for g in gradients])
        smoothed = self.smoothed.lerp(variances, share)
        self.smoothed = smoothed.detach()
        return (smoothed - smoothed.mean(dim=0)).square().mean() / share**2
