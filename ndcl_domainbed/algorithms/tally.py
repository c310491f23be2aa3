"""Augmenting disentangled representations over domains and classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.backend import ERM
from ndcl_domainbed.hparams import BELOW_ONE, NOT_NEGATIVE, POSITIVE, Hparam, uniform
from ndcl_domainbed.testbed.algorithms.base import (
    Minibatches,
    Shape,
    Unlabeled,
    concatenate,
    domain_indices,
    step,
    to_floats,
)

_EPSILON = 1e-5
"""Added to variances: a domain may have one sample in the minibatch."""


def domain_statistics(z: Tensor, domains: Tensor, num_domains: int) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (M, D) of the features ``z`` (B, D) of each domain.

    ``domains`` (B,) are those of the samples, each in 0..M-1 with at least one.
    """
    members = F.one_hot(domains, num_domains).to(z.dtype)
    averaging = members.T / members.sum(dim=0)[:, None]
    means = averaging @ z
    return means, (averaging @ (z - means[domains]).pow(2) + _EPSILON).sqrt()


def class_prototypes(
    semantic: Tensor, y: Tensor, domains: Tensor, num_domains: int, num_classes: int
) -> tuple[Tensor, Tensor]:
    """Return, for each class, the mean over domains of its mean in each, (K, D), and if it is seen.

    ``semantic`` (B, D) has labels ``y`` and ``domains`` (B,). Only domains with a sample of the
    class count, each the same; a class without a sample gets zeros.
    """
    pairs = F.one_hot(domains * num_classes + y, num_domains * num_classes).to(semantic.dtype)
    counts = pairs.sum(dim=0)
    means = (pairs.T @ semantic) / counts.clamp(min=1)[:, None]
    number_of_domains = (counts > 0).view(num_domains, num_classes).sum(dim=0)
    sums = means.view(num_domains, num_classes, -1).sum(dim=0)
    return sums / number_of_domains.clamp(min=1)[:, None], number_of_domains > 0


class TALLY(ERM):
    """TALLY: puts the class content of a sample under the nuisances of another domain.

    Yang, Yao, Zhou & Finn, "Multi-Domain Long-Tailed Learning by Augmenting Disentangled
    Representations", TMLR 2023, arXiv:2210.14358.

    ======================  =======  =========================================================
    hparam                  default  meaning
    ======================  =======  =========================================================
    ``tally_start_step``    1000     updates before the first augmented one
    ``tally_alpha``         0.5      α of the λ ~ Beta(α, α) that mixes content and prototype
    ``prototype_momentum``  0.9      share of the earlier prototype that is kept
    ``class_balanced``      True     the shared hyper-parameter: a domain's minibatch draws each
                                     of its classes equally often
    ======================  =======  =========================================================

    A feature z of domain d is split into content s = (z - μ_d) / σ_d and the nuisances μ_d
    and σ_d. The prototype r_k of class k is the mean content of its domains, each counting the
    same, averaged over updates. An augmented feature with the label k has the content of a sample,
    pulled toward its prototype, and the nuisances of a uniformly drawn domain e:
    σ_e [λ s + (1 - λ) r_k] + μ_e. The loss is the mean cross-entropy of the minibatch and, after
    ``tally_start_step`` updates, of as many augmented features.

    Selective balanced sampling, content from balanced classes and nuisances from balanced domains,
    is that of class-balanced minibatches of one size for each domain. The paper takes the
    statistics of one image over the positions of a feature map. A feature vector has no positions,
    so those of a domain over its class-balanced minibatch stand for them. The paper tunes some of
    these values for each dataset; here one default serves all. The implementation has not been
    compared with the authors' code.
    """

    prototypes: Tensor
    seen: Tensor

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "class_balanced": Hparam(True),
        "tally_start_step": Hparam(1000, within=NOT_NEGATIVE, in_steps=True),
        "tally_alpha": Hparam(0.5, uniform(0.2, 1.0), within=POSITIVE),
        "prototype_momentum": Hparam(0.9, uniform(0.5, 0.99), within=BELOW_ONE),
    }

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
    ) -> None:
        super().__init__(input_shape, num_classes, num_domains, hparams)
        self.num_domains = num_domains
        self.register_buffer("prototypes", torch.zeros(num_classes, self.featurizer.n_outputs))
        self.register_buffer("seen", torch.zeros(num_classes, dtype=torch.bool))
        self.updates = 0

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step on the mean cross-entropy of the features and the augmented ones."""
        x, y = concatenate(minibatches)
        domains = domain_indices(minibatches)
        z = self.featurizer(x)
        means, deviations = domain_statistics(z, domains, self.num_domains)
        content = (z - means[domains]) / deviations[domains]
        self._move_prototypes(content.detach(), y, domains)
        labels = y
        if self.updates >= self.hparams["tally_start_step"]:
            z = torch.cat([z, self._augment(content, y, means, deviations)])
            labels = torch.cat([y, y])
        loss = F.cross_entropy(self.classifier(z), labels)
        step(self.optimizer, loss)
        self.updates += 1
        return to_floats(loss=loss)

    def _move_prototypes(self, content: Tensor, y: Tensor, domains: Tensor) -> None:
        """Average the prototypes with those of the minibatch; a class starts at its first."""
        num_classes = len(self.prototypes)
        found, is_found = class_prototypes(content, y, domains, self.num_domains, num_classes)
        kept = torch.where(self.seen, self.hparams["prototype_momentum"], 0.0)[:, None]
        moved = kept * self.prototypes + (1 - kept) * found
        self.prototypes.copy_(torch.where(is_found[:, None], moved, self.prototypes))
        self.seen |= is_found

    def _augment(self, content: Tensor, y: Tensor, means: Tensor, deviations: Tensor) -> Tensor:
        """Return a feature for each content (B, D): drawn to its prototype, in a random domain."""
        alpha, number = self.hparams["tally_alpha"], len(y)
        share = torch.from_numpy(np.random.beta(alpha, alpha, size=(number, 1))).to(content)
        mixed = share * content + (1 - share) * self.prototypes[y]
        domains = torch.randint(self.num_domains, (number,)).to(y.device)
        return deviations[domains] * mixed + means[domains]
