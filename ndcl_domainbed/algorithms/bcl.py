"""Balanced contrastive learning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ndcl_domainbed.algorithms.bsoftmax import BSoftmax
from ndcl_domainbed.hparams import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, Hparam, power_uniform
from ndcl_domainbed.losses.cosines import unit_rows
from ndcl_domainbed.losses.masks import match_mask, other_mask
from ndcl_domainbed.testbed.algorithms.base import (
    Minibatches,
    Shape,
    Unlabeled,
    concatenate,
    domain_indices,
    step,
    to_floats,
)


def balanced_contrast(z: Tensor, y: Tensor, centers: Tensor, temperature: float) -> Tensor:
    """Return L_BCL, the mean over samples i of the contrast in which every class counts once.

    The term of i is the mean over p of -log [e(z_i, z_p) / Σ_j mean_k e(z_i, z_k)], where e(u, v) =
    exp(u·v / ``temperature``), p runs over the other samples of the class of i and its center, j
    over all classes, k over the samples of class j and its center, without i itself. So a class
    counts by its mean (class-averaging), and is represented by its center if the batch has no
    sample of it (class-complement). ``z`` (N, F) and ``centers`` (K, F) have unit rows, ``y`` is
    (N,).

    A sample at its center, another center at a right angle: -log [e / (e + 1)].

    >>> centers = torch.eye(2)
    >>> balanced_contrast(centers[:1], torch.tensor([0]), centers, temperature=1.0)
    tensor(0.3133)
    """
    number, num_classes = len(z), len(centers)
    labels = torch.cat([y, torch.arange(num_classes, device=y.device)])
    others = F.pad(other_mask(number, y.device), (0, num_classes), value=True)
    own_class = match_mask(y, labels)
    scores = z @ torch.cat([z, centers]).T / temperature
    class_sizes = match_mask(labels, labels).sum(dim=0) - own_class.int()  # without i itself
    averaged = scores - class_sizes.clamp(min=1).log()
    log_sums = averaged.masked_fill(~others, -torch.inf).logsumexp(dim=1)
    positives = own_class & others  # at least the center
    return (log_sums - torch.where(positives, scores, 0.0).sum(dim=1) / positives.sum(dim=1)).mean()


def _projection(width: int, hidden: int, projected: int) -> nn.Sequential:
    """Return an MLP with one hidden layer, (B, width) to (B, projected)."""
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, projected))


class BCL(BSoftmax):
    """BCL: a supervised contrast in which every class, seen or not, counts the same.

    Zhu, Wang, Chen, Chen & Jiang, "Balanced Contrastive Learning for Long-Tailed Visual
    Recognition", CVPR 2022, arXiv:2207.09052.

    =====================  =======  =======================================================
    hparam                 default  meaning
    =====================  =======  =======================================================
    ``contrast_weight``    0.35     μ, the weight of L_BCL; that of the cross-entropy is 1
    ``temperature``        0.1      τ
    ``projection_width``   128      dimensions in which samples are compared
    =====================  =======  =======================================================

    L = L_LC + μ L_BCL. The cross-entropy with logit compensation, L_LC, is that of
    :class:`~ndcl_domainbed.algorithms.bsoftmax.BSoftmax`, with its ``prior_strength``; L_BCL is
    :func:`balanced_contrast` of the samples of all domains. An MLP projects features, another one
    the classifier's weights of each class, which are the centers. μ is the authors' for
    ImageNet-LT, τ that of supervised contrasts (Khosla et al., NeurIPS 2020).

    The paper contrasts two augmented views of each image. A minibatch here has one: the other
    samples of the class, from all domains, and the learned center, which every sample has as a
    positive, stand for the second view. Raises InputError if ``hparams`` carry no label counts.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "contrast_weight": Hparam(0.35, power_uniform(10, -1.5, 0), within=NOT_NEGATIVE),
        "temperature": Hparam(0.1, power_uniform(10, -1.5, 0), within=POSITIVE),
        "projection_width": Hparam(128, within=AT_LEAST_ONE),
        **BSoftmax.HPARAMS,
    }

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
    ) -> None:
        super().__init__(input_shape, num_classes, num_domains, hparams)
        width, projected = self.featurizer.n_outputs, hparams["projection_width"]
        self.project_features = _projection(width, width, projected)
        self.project_classes = _projection(self._class_weights().shape[1], width, projected)
        self.optimizer = torch.optim.Adam(
            self.parameters(), lr=self.hparams["lr"], weight_decay=self.hparams["weight_decay"]
        )

    def _class_weights(self) -> Tensor:
        """Return the weights of the classifier's last layer, a row for each class."""
        layers = [layer for layer in self.classifier.modules() if isinstance(layer, nn.Linear)]
        return layers[-1].weight

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step on L; return it as ``loss``, and its terms without their weights."""
        x, y = concatenate(minibatches)
        z = self.featurizer(x)
        shifts = self.log_counts[domain_indices(minibatches)]
        loss_ce = F.cross_entropy(self.classifier(z) + shifts, y)
        loss_con = balanced_contrast(
            unit_rows(self.project_features(z)), y,
            unit_rows(self.project_classes(self._class_weights())), self.hparams["temperature"],
        )  # fmt: skip
        loss = loss_ce + self.hparams["contrast_weight"] * loss_con
        step(self.optimizer, loss)
        return to_floats(loss=loss, loss_ce=loss_ce, loss_con=loss_con)
