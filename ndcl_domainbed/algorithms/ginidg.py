"""Generative inference for imbalanced domain generalization."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imbalance_splits.errors import InputError
from ndcl_domainbed.backend import ERM
from ndcl_domainbed.hparams import NOT_NEGATIVE, Hparam
from ndcl_domainbed.testbed.algorithms.base import (
    Minibatches,
    Shape,
    Unlabeled,
    concatenate,
    domain_indices,
    to_floats,
)

_LATENT = 64
_COPIES = 6
_WARM_UP = 1000


class _Reversal(torch.autograd.Function):
    """The identity, whose gradient is multiplied by -factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradient, None


class _Generator(nn.Module):
    """Draws features (copies·G, D), copy after copy, around each of G features (G, D)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean = nn.Linear(width, _LATENT)
        self.log_sigma = nn.Linear(width, _LATENT)
        self.decoder = nn.Sequential(nn.ReLU(), nn.Linear(_LATENT, width))

    def forward(self, centers: Tensor) -> Tensor:
        mean = self.mean(centers).repeat(_COPIES, 1)
        variance = self.log_sigma(centers).exp().repeat(_COPIES, 1)
        noise = torch.randn(mean.shape).to(mean)  # from the CPU's generator, whatever the device
        return self.decoder(mean + noise * (1e-8 + variance).sqrt())


class _Discriminator(nn.Module):
    """An MLP with dropout behind a gradient reversal."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width_in, width_out in itertools.pairwise(widths[:-1]):
            layers += [nn.Linear(width_in, width_out), nn.ReLU(), nn.Dropout(0.5)]
        self.model = nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))

    def forward(self, z: Tensor, factor: float) -> Tensor:
        return self.model(_Reversal.apply(z, factor))


def class_groups(y: Tensor, domains: Tensor) -> Tensor:
    """Return a group (B,) per sample: the n-th samples of one class in all domains share one.

    Groups are numbered from 0 by their first member. In minibatches with the same sequence of
    classes in all domains a group is a position.
    """
    same = (y[:, None] == y) & (domains[:, None] == domains)
    rank = same.tril(-1).sum(dim=1)
    _, group = torch.unique(y * len(y) + rank, return_inverse=True)
    positions = torch.arange(len(y), device=y.device)
    first = torch.full_like(group, len(y)).scatter_reduce(0, group, positions, "amin")
    order = first.argsort()  # the slots behind the last group hold len(y) and stay behind
    return torch.empty_like(order).scatter(0, order, positions)[group]


class GINIDG(ERM):
    """GINIDG: generates features around the mean of a class over domains.

    Xia, Jing & Ding, "Generative Inference Network for Imbalanced Domain Generalization", IEEE
    Transactions on Image Processing 2023.

    A variational generator draws six features around each class-aligned mean; one
    discriminator tells domains, another real from generated features, both behind a gradient
    reversal whose factor grows from 0 to 1 over the run. For ``warm_up_steps`` updates the
    generator learns to reconstruct and to be classified; then its features train the network too,
    and it learns against the discriminator.

    The published method draws minibatches with the same sequence of classes in every domain. In
    the ordinary minibatches here, the n-th samples of a class in each domain are averaged,
    over the domains that have one, so that a mean never mixes classes, whatever the number of
    domains and their sizes. Raises InputError if ``hparams`` carry no number of steps.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "warm_up_steps": Hparam(_WARM_UP, within=NOT_NEGATIVE, in_steps=True)
    }

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
    ) -> None:
        super().__init__(input_shape, num_classes, num_domains, hparams)
        n_steps = getattr(hparams, "n_steps", None)
        if n_steps is None:
            raise InputError(
                "GINIDG needs the number of updates of the run and was given none: "
                "pass Hparams(...) with n_steps set, as train does."
            )
        width = self.featurizer.n_outputs
        self.generator = _Generator(width)
        self.gdiscriminator = _Discriminator([width, 256, 2])
        self.discriminator = _Discriminator([width, 1024, 1024, num_domains])
        self.last_update = max(int(n_steps) - 1, 1)
        self.warm_up_steps = self.hparams.get("warm_up_steps", _WARM_UP)
        self.updates = 0
        self.optimizer = torch.optim.Adam(
            [{"params": list(module.parameters())} for module in self._parts()],
            lr=self.hparams["lr"],
            weight_decay=self.hparams["weight_decay"],
        )

    def _parts(self) -> tuple[nn.Module, ...]:
        return self.network, self.generator, self.gdiscriminator, self.discriminator

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step; ``loss`` is the classification loss plus the domain loss."""
        x, y = concatenate(minibatches)
        domains = domain_indices(minibatches)
        factor = 2 / (1 + math.exp(-10 * self.updates / self.last_update)) - 1
        z = self.featurizer(x)
        generated, sources = self._generate(z, class_groups(y, domains))
        classified = F.cross_entropy(self.classifier(generated), y[sources])
        is_warming_up = self.updates < self.warm_up_steps
        if is_warming_up:
            goal = torch.linalg.vector_norm(z[sources] - generated, dim=1).mean()
        else:
            goal = self._generation_loss(z, generated, factor)
        loss = F.cross_entropy(self.classifier(z), y)
        loss = loss + F.cross_entropy(self.discriminator(z, factor), domains)
        self._step(loss if is_warming_up else loss + classified, goal + classified)
        self.updates += 1
        return to_floats(loss=loss)

    def _generate(self, z: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
        """Return generated features (6G, D) and, for each, the sample (6G,) that it stands for.

        The copies of a group stand for its members in turn.
        """
        counts = group.bincount()
        centers = z.new_zeros(len(counts), z.shape[1]).index_add(0, group, z) / counts[:, None]
        members = group.argsort(stable=True)  # all members of group 0, then of group 1, …
        starts = counts.cumsum(0) - counts
        copies = torch.arange(_COPIES, device=z.device)[:, None]
        return self.generator(centers), members[starts + copies % counts].flatten()

    def _generation_loss(self, z: Tensor, generated: Tensor, factor: float) -> Tensor:
        """Return the cross-entropy of telling real (0) from generated (1) features."""
        is_generated = torch.cat([z.new_zeros(len(z)), z.new_ones(len(generated))]).long()
        return F.cross_entropy(self.gdiscriminator(torch.cat([z, generated]), factor), is_generated)

    def _step(self, network_loss: Tensor, generator_loss: Tensor) -> None:
        """Train network and domain discriminator on one loss, the generating side on the other.

        A part that a loss does not reach gets a zero gradient.
        """
        network, generator, gdiscriminator, discriminator = self._parts()
        for loss, parts in (
            (network_loss, (network, discriminator)),
            (generator_loss, (generator, gdiscriminator)),
        ):
            parameters = [p for part in parts for p in part.parameters()]
            gradients = torch.autograd.grad(
                loss, parameters, retain_graph=True, materialize_grads=True
            )
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
        self.optimizer.step()
