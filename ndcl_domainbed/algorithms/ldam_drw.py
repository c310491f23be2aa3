"""Label-distribution-aware margins with deferred re-weighting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from ndcl_domainbed.algorithms.ldam import LDAM
from ndcl_domainbed.algorithms.reweight import inverse_frequencies, weighted_cross_entropy
from ndcl_domainbed.hparams import NOT_NEGATIVE, Hparam, integer, required_label_counts, uniform
from ndcl_domainbed.testbed.algorithms.base import Minibatches, Shape, Unlabeled, mean
from ndcl_domainbed.testbed.algorithms.descent import SAM_RHO


class LDAM_DRW(LDAM):
    """LDAM with deferred re-weighting: late in the run classes weigh by inverse frequency.

    Cao, Wei, Gaidon, Arechiga & Ma, "Learning Imbalanced Datasets with Label-Distribution-Aware
    Margin Loss", NeurIPS 2019, arXiv:1906.07413, Algorithm 1.

    ==================  ===========  ======================================================
    hparam              default      meaning
    ==================  ===========  ======================================================
    ``drw_start_step``  4000         T_0, the first update with weights: four fifths of the
                                     run, as in the paper (epoch 160 of 200)
    ``max_m``           0.5          the largest margin of a domain, as for LDAM
    ``scale``           30           s, as for LDAM
    ==================  ===========  ======================================================

    Before T_0 the loss is LDAM's. From then on a minibatch gives Σ l_i / n_y / Σ 1 / n_y, with l
    the loss of LDAM and n the counts of its domain, which is the algorithm's normalized step; it is
    averaged over domains. A class that a domain lacks has margin 0 and weight 0 there. On frozen
    features and DigitsDG T_0 keeps its share of the run. Raises InputError if ``hparams`` carry no
    label counts.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        **LDAM.HPARAMS,
        "drw_start_step": Hparam(
            4000,
            integer(uniform(3000, 4500)),
            within=NOT_NEGATIVE,
            in_steps=True,
        ),
        "sam_rho": SAM_RHO,
    }

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
    ) -> None:
        super().__init__(input_shape, num_classes, num_domains, hparams)
        weights = inverse_frequencies(required_label_counts(hparams, "LDAM_DRW"))
        self.register_buffer("class_weights", torch.from_numpy(weights).float(), persistent=False)
        self.updates = 0

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step on the loss, and count it."""
        result = super().update(minibatches)
        self.updates += 1
        return result

    def compute_loss(self, minibatches: Minibatches) -> Tensor:
        """Return the mean of the domains' losses, weighted or not."""
        if self.updates < self.hparams["drw_start_step"]:
            return super().compute_loss(minibatches)
        logits = self.scale_with_margins(minibatches)
        domains = zip(logits, minibatches, self.class_weights, strict=True)
        return mean([weighted_cross_entropy(f, y, weights) for f, (_, y), weights in domains])
