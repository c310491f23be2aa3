"""Balanced softmax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.backend import ERM
from ndcl_domainbed.hparams import PRIOR_STRENGTH, Hparam, required_label_counts
from ndcl_domainbed.losses import smooth_counts
from ndcl_domainbed.testbed.algorithms.base import Minibatches, Shape, mean
from ndcl_domainbed.testbed.algorithms.descent import OneLoss


class BSoftmax(OneLoss, ERM):
    """Balanced Softmax: the cross-entropy of logits shifted by the log of the class counts.

    Ren, Yu, Sheng, Ma, Zhao, Yi & Li, "Balanced Meta-Softmax for Long-Tailed Visual
    Recognition", NeurIPS 2020, arXiv:2007.10740 (without its meta sampler).

    Each domain d shifts by its own counts: CE(f + log N_d, y), averaged over domains. A class
    that a domain lacks is shifted by log 1 = 0, as Yang et al. (ECCV 2022, arXiv:2203.09513) have
    it, so the loss is finite whatever the labels. Predictions use the logits without shift.
    ``prior_strength`` (0; or 'auto', 'pooled') pulls the counts of a domain toward those of all
    (:func:`~ndcl_domainbed.losses.smooth_counts`; an addition of this package).
    Raises InputError if ``hparams`` carry no label counts.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {"prior_strength": PRIOR_STRENGTH}

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
    ) -> None:
        super().__init__(input_shape, num_classes, num_domains, hparams)
        log_counts = self.log_prior(required_label_counts(hparams, type(self).__name__))
        self.register_buffer("log_counts", log_counts.float(), persistent=False)

    def log_prior(self, counts: np.ndarray) -> Tensor:
        """Return what shifts the logits of each domain, (M, K), with ``counts`` (M, K)."""
        strength = self.hparams.get("prior_strength", 0.0)
        smoothed = smooth_counts(torch.from_numpy(counts), strength)
        return torch.where(smoothed > 0, smoothed, 1.0).log()

    def compute_loss(self, minibatches: Minibatches) -> Tensor:
        """Return the mean of the domains' balanced cross-entropies."""
        return mean(
            [
                F.cross_entropy(self.predict(x) + shift, y)
                for (x, y), shift in zip(minibatches, self.log_counts, strict=True)
            ]
        )
