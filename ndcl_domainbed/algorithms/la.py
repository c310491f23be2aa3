"""Logit adjustment in training."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from torch import Tensor

from imbalance_splits.errors import InputError
from ndcl_domainbed.algorithms.bsoftmax import BSoftmax
from ndcl_domainbed.hparams import NOT_NEGATIVE, Hparam, uniform


class LA(BSoftmax):
    """Logit adjustment: the cross-entropy of logits shifted by τ times the log class prior.

    Menon, Jayasumana, Rawat, Jain, Veit & Kumar, "Long-Tail Learning via Logit Adjustment", ICLR
    2021, arXiv:2007.07314, Eq. 10: the logit-adjusted softmax cross-entropy.

    ==================  ========  ==============================================================
    hparam              default   meaning
    ==================  ========  ==============================================================
    ``tau``             1         τ; 1 is the paper's, for which the loss is consistent for the
                                  balanced error
    ``prior``           'pooled'  π of all source domains together, which is the paper's training
                                  set; 'domain': each domain's own
    ``prior_strength``  0         with 'domain': pulls it toward the pooled one, as for BSoftmax
    ==================  ========  ==============================================================

    CE(f + τ log π, y), averaged over domains; predictions use the logits without shift. With τ = 1
    and each domain's own prior it is BSoftmax. A class without images is not shifted, so the loss
    is finite whatever the labels. Raises InputError if ``hparams`` carry no label counts, or a
    ``prior_strength`` for the pooled prior.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "tau": Hparam(1.0, uniform(0.5, 2.0), within=NOT_NEGATIVE),
        "prior": Hparam("pooled", choices=("pooled", "domain")),
        **BSoftmax.HPARAMS,
    }

    def log_prior(self, counts: np.ndarray) -> Tensor:
        """Return τ log n of the pooled counts or of each domain's, (M, K)."""
        if self.hparams["prior"] == "pooled":
            if self.hparams.get("prior_strength", 0.0) != 0:
                raise InputError(
                    "prior_strength smooths each domain's own prior, and LA's prior is 'pooled': "
                    "set prior to 'domain' as well."
                )
            counts = np.tile(counts.sum(axis=0), (len(counts), 1))
        return self.hparams["tau"] * super().log_prior(counts)
