r"""ERM with FixMatch on unlabeled images of the sources: a row of docs/semi_supervised.md.

ndcl-domainbed sweep launch --own_code docs/semi_supervised/fixmatch.py \
    --sweep docs/semi_supervised/sweep.yaml ...
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn import functional as F

from ndcl_domainbed.backend import ERM
from ndcl_domainbed.hparams import SHARE, Hparam
from ndcl_domainbed.testbed.algorithms.base import concatenate, step, to_floats


class ERM_FixMatch(ERM):
    """ERM, and the cross-entropy of augmented views to confident labels of the plain ones.

    Sohn et al., "FixMatch", NeurIPS 2020, arXiv:2001.07685, with as many unlabeled images as
    labeled ones.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {"threshold": Hparam(0.95, within=SHARE)}

    def update(self, minibatches, unlabeled=None):
        x, y = concatenate(minibatches)
        plain, augmented = torch.cat(list(unlabeled)).unbind(dim=1)
        self.eval()
        with torch.no_grad():
            confidence, labels = self.predict(plain).softmax(dim=1).max(dim=1)
        self.train()
        confident = confidence >= self.hparams["threshold"]
        terms = F.cross_entropy(self.predict(augmented), labels, reduction="none")
        loss_ce = F.cross_entropy(self.predict(x), y)
        loss_pseudo = (confident * terms).mean()
        step(self.optimizer, loss_ce + loss_pseudo)
        return to_floats(loss=loss_ce, loss_pseudo=loss_pseudo, confident=confident.float().mean())
