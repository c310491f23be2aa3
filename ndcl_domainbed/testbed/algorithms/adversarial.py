"""Algorithms in which a discriminator tries to tell the domains from the features."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from itertools import chain
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.hparams import (
    AT_LEAST_ONE,
    BELOW_ONE,
    NOT_NEGATIVE,
    SHARE,
    Hparam,
    Range,
    choice,
    integer,
    power_uniform,
)
from ndcl_domainbed.testbed import networks
from ndcl_domainbed.testbed.algorithms.base import (
    Algorithm,
    Minibatches,
    Shape,
    Unlabeled,
    concatenate,
    domain_indices,
    step,
    to_floats,
)
from ndcl_domainbed.testbed.hparams_registry import SHARED


class _DomainAdversarial(Algorithm):
    """Alternates steps of the discriminator with steps of featurizer and classifier.

    ``d_steps_per_g_step`` of the former follow each other, then one of the latter. The shared
    ``lr`` and ``weight_decay`` have no effect: each side has its own (``lr_d``, ``lr_g``, …).
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "lambda": Hparam(1.0, power_uniform(10, -2, 2), within=NOT_NEGATIVE),
        "weight_decay_d": Hparam(0.0, power_uniform(10, -6, -2), within=NOT_NEGATIVE),
        "d_steps_per_g_step": Hparam(1, integer(power_uniform(2, 0, 3)), within=NOT_NEGATIVE),
        "grad_penalty": Hparam(0.0, power_uniform(10, -2, 1), within=NOT_NEGATIVE),
        "beta1": Hparam(0.5, choice([0.0, 0.5]), within=BELOW_ONE),
        "mlp_width": Hparam(256, integer(power_uniform(2, 6, 10)), within=AT_LEAST_ONE),
        "mlp_depth": Hparam(3, choice([3, 4, 5]), within=Range(2)),
        "mlp_dropout": Hparam(0.0, choice([0.0, 0.1, 0.5]), within=SHARE),
        "lr_g": SHARED["lr"],
        "lr_d": SHARED["lr"],
        "weight_decay_g": SHARED["weight_decay"],
    }

    update_count: Tensor

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
    ) -> None:
        super().__init__(input_shape, num_classes, num_domains, hparams)
        self.register_buffer("update_count", torch.zeros(1, dtype=torch.int64))
        self.featurizer = networks.Featurizer(input_shape, self.hparams)
        width = self.featurizer.n_outputs
        self.classifier = networks.Classifier(
            width, num_classes, self.hparams["nonlinear_classifier"]
        )
        self.discriminator = networks.MLP(width, num_domains, self.hparams)
        self.class_embeddings = torch.nn.Embedding(num_classes, width)
        self.disc_opt = self._adam("d", self.discriminator, self.class_embeddings)
        self.gen_opt = self._adam("g", self.featurizer, self.classifier)

    def _adam(self, side: str, *modules: torch.nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(
            chain.from_iterable(module.parameters() for module in modules),
            lr=self.hparams[f"lr_{side}"],
            weight_decay=self.hparams[f"weight_decay_{side}"],
            betas=(self.hparams["beta1"], 0.9),
        )

    @abstractmethod
    def discriminator_input(self, z: Tensor, y: Tensor) -> Tensor:
        """Return what the discriminator sees (B, D) of features (B, D) with labels (B,)."""

    @abstractmethod
    def domain_loss(self, logits: Tensor, domains: Tensor, y: Tensor) -> Tensor:
        """Return the loss of domain logits (B, M), for samples with class labels (B,)."""

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step of one side; the result has its loss, ``disc_loss`` or ``gen_loss``."""
        self.update_count += 1
        d_steps = self.hparams["d_steps_per_g_step"]
        trains_discriminator = int(self.update_count) % (1 + d_steps) < d_steps
        x, y = concatenate(minibatches)
        z = self.featurizer(x)
        disc_loss = self._discriminator_loss(z, y, domain_indices(minibatches))
        if trains_discriminator:
            step(self.disc_opt, disc_loss)
            return to_floats(disc_loss=disc_loss)
        gen_loss = F.cross_entropy(self.classifier(z), y) - self.hparams["lambda"] * disc_loss
        step(self.gen_opt, gen_loss)
        return to_floats(gen_loss=gen_loss)

    def _discriminator_loss(self, z: Tensor, y: Tensor, domains: Tensor) -> Tensor:
        """Return the loss of telling the domains, with a penalty on its gradient."""
        seen = self.discriminator_input(z, y)
        if not seen.requires_grad:  # frozen features without an adapter
            seen = seen.detach().requires_grad_()
        logits = self.discriminator(seen)
        loss = self.domain_loss(logits, domains, y)
        weight = self.hparams["grad_penalty"]
        if weight == 0:
            return loss
        total = F.cross_entropy(logits, domains, reduction="sum")
        (gradient,) = torch.autograd.grad(total, seen, create_graph=True)
        return loss + weight * gradient.pow(2).sum(dim=1).mean()

    def predict(self, x: Tensor) -> Tensor:
        return self.classifier(self.featurizer(x))


class DANN(_DomainAdversarial):
    """Domain-Adversarial Neural Network.

    Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016, arXiv:1505.07818,
    with alternating steps in place of the gradient reversal layer.

    ``class_embeddings`` is there, untrained, for the sake of DomainBed's checkpoints.
    """

    def discriminator_input(self, z: Tensor, y: Tensor) -> Tensor:
        """Return the features themselves."""
        return z

    def domain_loss(self, logits: Tensor, domains: Tensor, y: Tensor) -> Tensor:
        """Return the mean cross-entropy over samples."""
        return F.cross_entropy(logits, domains)


class CDANN(_DomainAdversarial):
    """Conditional Domain-Adversarial Neural Network: aligns the domains class by class.

    Li, Tian, Gong, Liu, Liu, Zhang & Tao, "Deep Domain Generalization via Conditional Invariant
    Adversarial Networks", ECCV 2018.

    The discriminator sees the features plus a learned embedding of the class, and all classes
    in the minibatches weigh the same in its loss: a sample of class k weighs 1/(K·n_k). K is the
    number of classes; DomainBed takes the highest label in the minibatches plus one.
    """

    def discriminator_input(self, z: Tensor, y: Tensor) -> Tensor:
        """Return the features plus the embedding of their class."""
        return z + self.class_embeddings(y)

    def domain_loss(self, logits: Tensor, domains: Tensor, y: Tensor) -> Tensor:
        """Return the mean over all K classes of their mean cross-entropies, 0 for an absent one."""
        num_classes = self.class_embeddings.num_embeddings
        counts = F.one_hot(y, num_classes).sum(dim=0)
        weights = 1.0 / (counts[y] * num_classes)
        return (weights * F.cross_entropy(logits, domains, reduction="none")).sum()
