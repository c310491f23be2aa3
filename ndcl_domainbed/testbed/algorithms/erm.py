"""Empirical risk minimization."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.hparams import Hparam
from ndcl_domainbed.testbed import networks
from ndcl_domainbed.testbed.algorithms.base import (
    Algorithm,
    Minibatches,
    Shape,
    Unlabeled,
    concatenate,
    to_floats,
)
from ndcl_domainbed.testbed.algorithms.descent import SAM_RHO, descend


class ERM(Algorithm):
    """Empirical Risk Minimization: the mean cross-entropy of all samples of all domains.

    Vapnik, "Statistical Learning Theory", Wiley 1998; as the baseline of Gulrajani & Lopez-Paz,
    "In Search of Lost Domain Generalization", ICLR 2021, arXiv:2007.01434.

    A domain weighs by the number of its samples.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {"sam_rho": SAM_RHO}

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
    ) -> None:
        super().__init__(input_shape, num_classes, num_domains, hparams)
        self.featurizer = networks.Featurizer(input_shape, self.hparams)
        self.classifier = networks.Classifier(
            self.featurizer.n_outputs, num_classes, self.hparams["nonlinear_classifier"]
        )
        self.network = torch.nn.Sequential(self.featurizer, self.classifier)
        self.optimizer: torch.optim.Optimizer = self._adam(self.network.parameters())

    def _adam(self, parameters: Iterable[Tensor], lr: str = "lr") -> torch.optim.Adam:
        """Return a new Adam whose learning rate is the hyper-parameter ``lr``."""
        return torch.optim.Adam(
            parameters, lr=self.hparams[lr], weight_decay=self.hparams["weight_decay"]
        )

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step on the mean cross-entropy of all samples."""
        x, y = concatenate(minibatches)
        loss = descend(self, lambda: F.cross_entropy(self.predict(x), y))
        return to_floats(loss=loss)

    def predict(self, x: Tensor) -> Tensor:
        """Return the logits (B, K)."""
        return self.network(x)
