"""Spectral decoupling."""

from __future__ import annotations

from typing import ClassVar

from torch.nn import functional as F

from ndcl_domainbed.hparams import NOT_NEGATIVE, Hparam, power_uniform
from ndcl_domainbed.testbed.algorithms.base import (
    Minibatches,
    Unlabeled,
    concatenate,
    step,
    to_floats,
)
from ndcl_domainbed.testbed.algorithms.erm import ERM


class SD(ERM):
    """Spectral Decoupling: a penalty ``sd_reg`` on the mean square of the logits.

    Pezeshki, Kaba, Bengio, Courville, Precup & Lajoie, "Gradient Starvation: A Learning Proclivity
    in Neural Networks", NeurIPS 2021, arXiv:2011.09468.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "sd_reg": Hparam(0.1, power_uniform(10, -5, -1), within=NOT_NEGATIVE)
    }

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step; ``loss`` is the cross-entropy, ``penalty`` is without its weight."""
        x, y = concatenate(minibatches)
        logits = self.predict(x)
        loss, penalty = F.cross_entropy(logits, y), logits.pow(2).mean()
        step(self.optimizer, loss + self.hparams["sd_reg"] * penalty)
        return to_floats(loss=loss, penalty=penalty)
