"""Label-distribution-aware margins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.backend import ERM
from ndcl_domainbed.hparams import POSITIVE, Hparam, choice, power_uniform, required_label_counts
from ndcl_domainbed.testbed.algorithms.base import Minibatches, Shape, mean
from ndcl_domainbed.testbed.algorithms.descent import OneLoss


def class_margins(counts: np.ndarray, largest: float) -> np.ndarray:
    """Return margins (M, K) proportional to count^(-1/4), the largest of a domain ``largest``.

    ``counts`` are float64 (M, K), the training images of each source domain and class.
    A class that a domain lacks has margin 0 there.
    """
    margins = np.power(counts, -0.25, out=np.zeros_like(counts), where=counts > 0)
    tops = np.maximum(margins.max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return largest * margins / tops


def subtract_margins(logits: Tensor, y: Tensor, margins: Tensor) -> Tensor:
    """Return f - m_y e_y, (B, K): the true class is handicapped by its margin.

    ``logits`` f are (B, K), ``y`` (B,), ``margins`` m (K,).
    """
    return logits - torch.zeros_like(logits).scatter(1, y[:, None], margins[y][:, None])


class LDAM(OneLoss, ERM):
    """LDAM: larger margins for classes that are rarer in their domain.

    Cao, Wei, Gaidon, Arechiga & Ma, "Learning Imbalanced Datasets with Label-Distribution-Aware
    Margin Loss", NeurIPS 2019, arXiv:1906.07413.

    As in its use for domain generalization (Yang et al., ECCV 2022) the classifier is not
    normalized and there is no second, re-weighted stage. A class that a domain lacks has margin
    0 there. Raises InputError if ``hparams`` carry no label counts.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "max_m": Hparam(0.5, power_uniform(10, -1, -0.1), within=POSITIVE),
        "scale": Hparam(30.0, choice([10.0, 30.0]), within=POSITIVE),
    }

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
    ) -> None:
        super().__init__(input_shape, num_classes, num_domains, hparams)
        counts = required_label_counts(hparams, type(self).__name__)
        margins = class_margins(counts, hparams["max_m"])
        self.register_buffer("margins", torch.from_numpy(margins).float(), persistent=False)

    def compute_loss(self, minibatches: Minibatches) -> Tensor:
        """Return the mean of the domains' losses, each with its own margins."""
        logits = self.scale_with_margins(minibatches)
        return mean([F.cross_entropy(f, y) for f, (_, y) in zip(logits, minibatches, strict=True)])

    def scale_with_margins(self, minibatches: Minibatches) -> list[Tensor]:
        """Return scale·(f - m_y e_y) of each domain's minibatch, (n_d, K)."""
        return [
            self.hparams["scale"] * subtract_margins(self.predict(x), y, margins)
            for (x, y), margins in zip(minibatches, self.margins, strict=True)
        ]
