"""Re-weighting by inverse class frequency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.backend import ERM
from ndcl_domainbed.hparams import required_label_counts
from ndcl_domainbed.testbed.algorithms.base import Minibatches, Shape, mean
from ndcl_domainbed.testbed.algorithms.descent import OneLoss


def inverse_frequencies(counts: np.ndarray) -> np.ndarray:
    """Return weights (M, K) proportional to 1/count within each domain, with sum K.

    ``counts`` are float64 (M, K), the training images of each source domain and class.
    A class that a domain lacks weighs nothing there.
    """
    present = counts > 0
    inverse = np.divide(1.0, counts, out=np.zeros_like(counts), where=present)
    totals = np.maximum(inverse.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return counts.shape[1] * inverse / totals


def weighted_cross_entropy(logits: Tensor, y: Tensor, class_weights: Tensor) -> Tensor:
    """Return Σ w_y ℓ / Σ w_y over samples; zero, with a gradient, if no sample has a weight.

    ``logits`` are (B, K), ``y`` (B,), ``class_weights`` w (K,); ℓ is the cross-entropy.
    """
    weights = class_weights[y]
    losses = F.cross_entropy(logits, y, reduction="none")
    return (weights * losses).sum() / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)


class ReWeight(OneLoss, ERM):
    """Re-weighting: the cross-entropy weighted by inverse class frequency, in each domain.

    A baseline of Yang, Wang & Katabi, "On Multi-Domain Long-Tailed Recognition, Imbalanced Domain
    Generalization and Beyond", ECCV 2022, arXiv:2203.09513.

    The weighted mean of each minibatch is normalized by the weights present in it, and averaged
    over domains. A class that a domain lacks has weight 0 there. Raises InputError if
    ``hparams`` carry no label counts.
    """

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
    ) -> None:
        super().__init__(input_shape, num_classes, num_domains, hparams)
        weights = self.weigh_classes(required_label_counts(hparams, type(self).__name__))
        self.register_buffer("class_weights", torch.from_numpy(weights).float(), persistent=False)

    def weigh_classes(self, counts: np.ndarray) -> np.ndarray:
        """Return the weights (M, K) of classes with ``counts`` (M, K) training images."""
        return inverse_frequencies(counts)

    def compute_loss(self, minibatches: Minibatches) -> Tensor:
        """Return the mean of the domains' weighted cross-entropies."""
        return mean(
            [
                weighted_cross_entropy(self.predict(x), y, weights)
                for (x, y), weights in zip(minibatches, self.class_weights, strict=True)
            ]
        )
