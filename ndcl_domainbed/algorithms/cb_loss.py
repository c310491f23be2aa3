"""Class-balanced loss by the effective number of samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.algorithms.reweight import inverse_frequencies
from ndcl_domainbed.backend import ERM
from ndcl_domainbed.hparams import BELOW_ONE, Hparam, choice, required_label_counts
from ndcl_domainbed.testbed.algorithms.base import Minibatches, Shape, mean
from ndcl_domainbed.testbed.algorithms.descent import OneLoss


def effective_numbers(counts: np.ndarray, beta: float) -> np.ndarray:
    """Return E_n = (1 - β^n) / (1 - β) of the ``counts`` n >= 0 (Eq. 2), for 0 <= ``beta`` < 1.

    >>> effective_numbers(np.array([0.0, 1.0, 2.0, 1000.0]), 0.5)
    array([0. , 1. , 1.5, 2. ])
    """
    return (1 - beta**counts) / (1 - beta)


class CBLoss(OneLoss, ERM):
    """Class-balanced loss: classes weigh inversely to their effective number of samples.

    Cui, Jia, Lin, Song & Belongie, "Class-Balanced Loss Based on Effective Number of Samples",
    CVPR 2019, arXiv:1901.05555, Eq. 12: the class-balanced softmax cross-entropy.

    ========  =======  ====================================================================
    hparam    default  meaning
    ========  =======  ====================================================================
    ``beta``  0.9999   β: 0 weighs all classes alike, β → 1 weighs them by inverse frequency
    ========  =======  ====================================================================

    The loss of a minibatch is the mean of α_y · CE, with α_k in proportion to (1 - β) / (1 - β^n_k)
    and normalized to sum to K, and is averaged over domains, each with its own counts. Random
    search draws the paper's four values; the default is the best of them on its long-tailed
    CIFAR-10. A class that a domain lacks has α = 0 there. Raises InputError if ``hparams`` carry no
    label counts.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "beta": Hparam(0.9999, choice([0.9, 0.99, 0.999, 0.9999]), within=BELOW_ONE)
    }

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
    ) -> None:
        super().__init__(input_shape, num_classes, num_domains, hparams)
        numbers = effective_numbers(required_label_counts(hparams, "CBLoss"), hparams["beta"])
        weights = torch.from_numpy(inverse_frequencies(numbers))
        self.register_buffer("class_weights", weights.float(), persistent=False)

    def compute_loss(self, minibatches: Minibatches) -> Tensor:
        """Return the mean of the domains' class-balanced losses."""
        return mean(
            [
                (alpha[y] * F.cross_entropy(self.predict(x), y, reduction="none")).mean()
                for (x, y), alpha in zip(minibatches, self.class_weights, strict=True)
            ]
        )
