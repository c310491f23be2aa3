"""Algorithms whose prediction also depends on the other samples of the batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ndcl_domainbed.hparams import SHARE, Hparam, by_dataset, choice, integer, power_uniform
from ndcl_domainbed.testbed import networks
from ndcl_domainbed.testbed.algorithms.base import (
    Algorithm,
    Minibatches,
    Shape,
    Unlabeled,
    batch_sizes,
    concatenate,
    step,
    to_floats,
)
from ndcl_domainbed.testbed.algorithms.erm import ERM


class MTL(Algorithm):
    """Marginal Transfer Learning: the classifier also sees the mean feature of the domain.

    Blanchard, Deshmukh, Dogan, Lee & Scott, "Domain Generalization by Marginal Transfer
    Learning", JMLR 2021, arXiv:1711.07910, with the mean feature as the embedding of a domain.

    A training domain's embedding is a moving average of its minibatches' means, in which the newest
    weighs ``mtl_ema``; that of a test batch is its mean. The risks of the domains are added up.

    In DomainBed the classifier sees Gaussian noise in place of the embedding, so nothing is
    transferred and predictions are random. The same happens here if ``as_published`` is False or
    missing, as it is in DomainBed's own hyper-parameters.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "mtl_ema": Hparam(0.99, choice([0.5, 0.9, 0.99, 1.0]), within=SHARE),
        "as_published": Hparam(True),
    }

    embeddings: Tensor

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
    ) -> None:
        super().__init__(input_shape, num_classes, num_domains, hparams)
        self.featurizer = networks.Featurizer(input_shape, self.hparams)
        width = self.featurizer.n_outputs
        self.classifier = networks.Classifier(
            2 * width, num_classes, self.hparams["nonlinear_classifier"]
        )
        self.register_buffer("embeddings", torch.zeros(num_domains, width))
        self.as_published = bool(self.hparams.get("as_published", False))
        self.optimizer = torch.optim.Adam(
            [*self.featurizer.parameters(), *self.classifier.parameters()],
            lr=self.hparams["lr"],
            weight_decay=self.hparams["weight_decay"],
        )

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step on the sum of the domains' cross-entropies."""
        share = self.hparams["mtl_ema"]
        losses, embeddings = [], []
        for (x, y), previous in zip(minibatches, self.embeddings, strict=True):
            z = self.featurizer(x)
            embedding = share * z.mean(dim=0) + (1 - share) * previous
            losses.append(F.cross_entropy(self._logits(z, embedding), y))
            embeddings.append(embedding.detach())
        self.embeddings.copy_(torch.stack(embeddings))
        loss = torch.stack(losses).sum()
        step(self.optimizer, loss)
        return to_floats(loss=loss)

    def predict(self, x: Tensor) -> Tensor:
        """Return the logits (B, K) of a batch from one domain."""
        z = self.featurizer(x)
        return self._logits(z, z.mean(dim=0))

    def _logits(self, z: Tensor, embedding: Tensor) -> Tensor:
        rows = embedding.expand_as(z) if self.as_published else torch.randn_like(z)
        return self.classifier(torch.cat([z, rows], dim=1))


_CONTEXT = 64
"""How many numbers of context a vector gets; an image gets a channel."""


def _context_of_vectors(n_inputs: int) -> nn.Module:
    """Return two linear layers that turn vectors (B, D) into context (B, 64)."""
    return nn.Sequential(nn.Linear(n_inputs, 64), nn.ReLU(), nn.Linear(64, _CONTEXT))


class _ContextNet(nn.Module):
    """Three 5×5 convolutions that turn images (B, C, H, W) into one channel of context."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.context_net = nn.Sequential(
            nn.Conv2d(channels, 64, 5, padding=2),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Conv2d(64, 64, 5, padding=2),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Conv2d(64, 1, 5, padding=2),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.context_net(x)


class ARM(ERM):
    """Adaptive Risk Minimization with contextual meta-learning (ARM-CML).

    Zhang, Marklund, Dhawan, Gupta, Levine & Finn, "Adaptive Risk Minimization: Learning to Adapt to
    Domain Shift", NeurIPS 2021, arXiv:2007.02931.

    A small network turns each image into one channel; its mean over the batch is the context,
    which every image gets as a further input channel. Vectors get 64 further numbers instead. In
    training the batch is a domain's minibatch. A prediction splits the images into batches of
    ``batch_size``; if that leaves a remainder, all of them are one batch.

    In DomainBed the context network is never trained, since its optimizer lacks it. The same
    happens here if ``as_published`` is False or missing, as it is in DomainBed's own.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "batch_size": Hparam(
            by_dataset(small=64, other=8, vectors=32),
            by_dataset(
                small=integer(power_uniform(2, 3, 9)),
                other=8,
                vectors=integer(power_uniform(2, 3, 5.5)),
            ),
        ),
        "as_published": Hparam(True),
    }

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
    ) -> None:
        channels, *size = input_shape
        more = 1 if size else _CONTEXT
        super().__init__((channels + more, *size), num_classes, num_domains, hparams)
        self.context_net = _ContextNet(channels) if size else _context_of_vectors(channels)
        self.context_net.requires_grad_(bool(self.hparams.get("as_published", False)))
        self.optimizer = self._adam([p for p in self.parameters() if p.requires_grad])

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step on the mean cross-entropy of all samples, each in its domain's context."""
        x, y = concatenate(minibatches)
        contexts = self.context_net(x).split(batch_sizes(minibatches))
        context = torch.cat([c.mean(dim=0, keepdim=True).expand_as(c) for c in contexts])
        loss = F.cross_entropy(self.network(torch.cat([x, context], dim=1)), y)
        step(self.optimizer, loss)
        return to_floats(loss=loss)

    def predict(self, x: Tensor) -> Tensor:
        """Return the logits (B, K) of a batch from one domain."""
        support = self.hparams["batch_size"]
        size = support if len(x) % support == 0 else len(x)
        context = self.context_net(x).unflatten(0, (-1, size)).mean(dim=1)
        return self.network(torch.cat([x, context.repeat_interleave(size, dim=0)], dim=1))
