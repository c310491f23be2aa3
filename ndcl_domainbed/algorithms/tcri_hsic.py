"""Target-conditioned representation independence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ndcl_domainbed.backend import Algorithm, networks
from ndcl_domainbed.hparams import Hparam, by_dataset, integer, power_uniform
from ndcl_domainbed.testbed.algorithms.annealing import AnnealedPenalty
from ndcl_domainbed.testbed.algorithms.base import Minibatch, joined, mean, scalars, sizes, step


def _class_kernels(u: torch.Tensor, y: torch.Tensor, one_hot: torch.Tensor) -> torch.Tensor:
    """Return Gaussian kernels (n, n) of rows (n, D) of the same class, zero between classes.

    Each class has its own bandwidth: σ² is the (lower) median of the non-zero squared distances
    in the class, or 1 if there are none.
    """
    gram = u @ u.T
    norms = gram.diagonal()
    distances = (norms[:, None] + norms - 2 * gram).clamp(min=0)
    same = one_hot @ one_hot.T > 0
    of_class = same & one_hot.T.bool()[:, :, None]  # (K, n, n): both rows are of the class
    nan = torch.full_like(distances, torch.nan)
    known = torch.where(of_class & (distances > 0), distances, nan)
    medians = known.flatten(1).nanmedian(dim=1).values
    variances = torch.where(medians.isnan(), torch.ones_like(medians), medians)[y]
    return torch.where(same, torch.exp(-distances / (2 * variances[:, None])), 0.0)


def class_dependence(
    a: torch.Tensor, b: torch.Tensor, y: torch.Tensor, num_classes: int
) -> torch.Tensor:
    """Return how dependent two representations (n, D) are, given the class: a sum of HSICs.

    For each class, the sum over the entries of the product of the two centred kernel matrices;
    the sum over classes is divided by n and by the number of classes present. A class with one
    sample adds nothing.
    """
    one_hot = F.one_hot(y, num_classes).to(a.dtype)
    counts = one_hot.sum(dim=0)
    centering = torch.eye(len(y), dtype=a.dtype, device=a.device)
    centering = centering - (one_hot / counts.clamp(min=1)) @ one_hot.T
    kernels = [centering @ _class_kernels(u, y, one_hot) @ centering for u in (a, b)]
    return (kernels[0] * kernels[1]).sum() / (len(y) * (counts > 0).sum())


class TCRI_HSIC(AnnealedPenalty, Algorithm):
    """Target-Conditioned Representation Independence, measured by HSIC.

    Salaudeen & Koyejo, "Causally Inspired Regularization Enables Domain General Representations",
    AISTATS 2024, arXiv:2404.16277.

    Two linear maps of the features give a domain-general part a and a spurious part b. The
    objective is the risk of c(a), plus ``tcri_alpha`` times the risk of the domain's own
    classifier of [a, b], plus the dependence of a and b given the class (weight 1, then, after
    ``tcri_beta_anneal_iters`` updates, ``tcri_beta``, with a renewed optimizer), each averaged
    over domains. Predictions use c(a).

    The authors' code renews the optimizer without the spurious part and the domains' classifiers,
    which then stop learning, against the objective: here they go on. It also runs the featurizer
    twice in an update; here all terms share one pass.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "tcri_beta": Hparam(100.0, power_uniform(10, -1, 5)),
        "tcri_beta_anneal_iters": Hparam(500, integer(power_uniform(10, 2.5, 5))),
        "tcri_alpha": Hparam(1.0),
        "batch_size": Hparam(
            by_dataset(small=64, other=8),
            by_dataset(small=integer(power_uniform(2, 3, 9)), other=8),
        ),
    }

    classifier: Any
    hparams: Mapping[str, Any]

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        num_domains: int,
        hparams: Mapping[str, Any],
    ) -> None:
        super().__init__(input_shape, num_classes, num_domains, hparams)
        nonlinear = self.hparams["nonlinear_classifier"]
        self.featurizer = networks.Featurizer(input_shape, self.hparams)
        width = self.featurizer.n_outputs
        self.classifier = networks.Classifier(width, num_classes, nonlinear)
        self.spurious_featurizer = nn.Sequential(nn.Linear(width, width))
        self.domain_general_featurizer = nn.Sequential(nn.Linear(width, width))
        self.spurious_classifiers = nn.ModuleList(
            networks.Classifier(2 * width, num_classes, nonlinear) for _ in range(num_domains)
        )
        self.network = nn.Sequential(
            self.featurizer, self.domain_general_featurizer, self.classifier
        )
        self.num_classes = num_classes
        self.optimizer = self._new_optimizer()

    def _new_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(
            self.parameters(), lr=self.hparams["lr"], weight_decay=self.hparams["weight_decay"]
        )

    def update(
        self, minibatches: Sequence[Minibatch], unlabeled: Sequence[torch.Tensor] | None = None
    ) -> dict[str, float]:
        """Make one step; the three terms are returned without their weights."""
        is_on = self.penalty_is_on(self.hparams["tcri_beta_anneal_iters"], self._new_optimizer)
        x, y = joined(minibatches)
        z = self.featurizer(x)
        general = self.domain_general_featurizer(z)
        spurious = self.spurious_featurizer(z)
        domains = list(
            zip(*[t.split(sizes(minibatches)) for t in (general, spurious, y)], strict=True)
        )
        nll = mean([F.cross_entropy(self.classifier(a), y) for a, _, y in domains])
        own_nll = mean(
            [
                F.cross_entropy(classifier(torch.cat([a, b], dim=1)), y)
                for classifier, (a, b, y) in zip(self.spurious_classifiers, domains, strict=True)
            ]
        )
        penalty = mean([class_dependence(a, b, y, self.num_classes) for a, b, y in domains])
        weight = self.hparams["tcri_beta"] if is_on else 1.0
        loss = nll + self.hparams["tcri_alpha"] * own_nll + weight * penalty
        step(self.optimizer, loss)
        return scalars(loss=loss, nll=nll, tcri_penalty=penalty, tic_nll=own_nll)

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits (B, K) of the domain-general part."""
        return self.network(x)
