"""NDCL with unlabeled images of the sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed import losses
from ndcl_domainbed.algorithms.ndcl_settings import HPARAMS
from ndcl_domainbed.backend import ERM
from ndcl_domainbed.hard_negatives import hard_negatives
from ndcl_domainbed.hparams import NOT_NEGATIVE, SHARE, Hparam, required_label_counts
from ndcl_domainbed.testbed.algorithms.base import (
    Minibatches,
    Shape,
    Unlabeled,
    concatenate,
    domain_indices,
    step,
    to_floats,
    to_full_precision,
)
from ndcl_domainbed.testbed.networks.batch_norm import running_statistics_kept

MOMENTUM = 0.9
"""How much of the running mean of a class's confidence an update keeps."""


class NDCL_Semi(ERM):
    """NDCL with class_prior 'logit' that also trains on unlabeled images of the sources.

    An addition of this package (docs/semi_supervised.md) to NDCL (Cao, Liu & Chen, ICML 2026,
    arXiv:2601.21999), after FixMatch (Sohn et al., NeurIPS 2020, arXiv:2001.07685) and FlexMatch
    (Zhang et al., NeurIPS 2021, arXiv:2110.08263).

    An unlabeled image x gets the label k = argmax z(x): the training adds the class prior to the
    logits z, so softmax(z) is the prediction without it. The label counts if its confidence
    c = softmax(z(x))_k is at least τ m_k / max_j m_j, m_k being the running mean of c over the
    images labeled k. With its augmented view x' the image then joins L_con and L_const, and

    L = L_ce + alpha L_con + beta L_const + pseudo_weight L_pseudo,

    L_pseudo being the mean over all unlabeled images of 1[counts] cross-entropy(z(x'), k).

    ===================  =======  =======================================================
    hyper-parameter      default  meaning
    ===================  =======  =======================================================
    ``alpha``, ``beta``  0.1      weights of L_con and L_const
    ``mixup``            0.2      ρ of the Beta(ρ, ρ) that hard negatives are mixed by
    ``threshold``        0.7      τ
    ``pseudo_weight``    1        weight of L_pseudo
    ===================  =======  =======================================================

    ``unlabeled`` holds the images of each source in two views, (n, 2, ...): plain and augmented, as
    ``--unlabeled_fraction`` gives them. Without it, or with a single view of each image (those of
    the target in domain adaptation), L_pseudo is 0 and L is that of NDCL. Raises InputError if
    ``hparams`` carry no label counts.
    """

    prior_weights: Tensor
    prior_offsets: Tensor
    mean_confidence: Tensor

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        **{name: HPARAMS[name] for name in ("alpha", "beta", "mixup")},
        "threshold": Hparam(0.7, within=SHARE),
        "pseudo_weight": Hparam(1.0, within=NOT_NEGATIVE),
    }

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
    ) -> None:
        counts = torch.as_tensor(required_label_counts(hparams, "NDCL_Semi"))
        prior = losses.logit_prior(counts.to(torch.get_default_dtype()))
        super().__init__(input_shape, num_classes, num_domains, hparams)
        self.generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        self.register_buffer("prior_weights", prior.weights, persistent=False)
        self.register_buffer("prior_offsets", prior.offsets, persistent=False)
        self.register_buffer("mean_confidence", torch.full((num_classes,), 1 / num_classes))
        self.threshold, self.pseudo_weight = hparams["threshold"], hparams["pseudo_weight"]

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step on L; return its terms, and the share of pseudo-labels that count."""
        x, y = concatenate(minibatches)
        domains, labeled = domain_indices(minibatches), len(y)
        counts = torch.ones_like(y, dtype=torch.bool)
        pairs = unlabeled if unlabeled and unlabeled[0].dim() > x.dim() else ()
        if pairs:
            plain, augmented = torch.cat(list(pairs)).unbind(dim=1)
            pseudo, confident = self._pseudo_label(plain)
            x, y = torch.cat([x, augmented]), torch.cat([y, pseudo])
            by_domain = pseudo.split([len(images) for images in pairs])
            pool = list(zip(pairs, by_domain, strict=True))
            domains = torch.cat([domains, domain_indices(pool)])
            counts = torch.cat([counts, confident])
        logits = self._logits(x)
        anchors = logits.softmax(dim=1)
        prior = losses.DomainClassPrior(self.prior_weights, self.prior_offsets)
        loss_ce = losses.reweighted_cross_entropy(
            logits[:labeled], y[:labeled], domains[:labeled], prior
        )
        loss_pseudo = logits.new_zeros(())
        if pairs:
            terms = F.cross_entropy(logits[labeled:], y[labeled:], reduction="none")
            loss_pseudo = (counts[labeled:] * terms).mean()
        x, y, domains = x[counts], y[counts], domains[counts]
        mixed, classes = self._mix(x, y, anchors[counts])
        loss_con = losses.negatives_contrast(anchors[counts], y, mixed, classes)
        prototypes = losses.batch_prototypes(anchors[counts], y, domains)
        loss_const = losses.prototype_alignment(prototypes.vectors, y, prototypes.active)
        alpha, beta = self.hparams["alpha"], self.hparams["beta"]
        loss = loss_ce + alpha * loss_con + beta * loss_const + self.pseudo_weight * loss_pseudo
        step(self.optimizer, loss)
        share = counts[labeled:].sum() / max(1, len(counts) - labeled)
        return to_floats(
            loss=loss, loss_ce=loss_ce, loss_con=loss_con, loss_const=loss_const,
            loss_pseudo=loss_pseudo, confident=share,
        )  # fmt: skip

    def _logits(self, x: Tensor) -> Tensor:
        """Return the logits (B, K) in full precision: the losses need it."""
        return to_full_precision(self.network(x))

    @torch.no_grad()
    def _pseudo_label(self, plain: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pseudo-labels (n,) of images, and which of them count; update the means."""
        was_training = self.training
        self.eval()
        confidence, labels = self._logits(plain).softmax(dim=1).max(dim=1)
        self.train(was_training)
        for k in labels.unique().tolist():
            mean = confidence[labels == k].mean()
            self.mean_confidence[k] = MOMENTUM * self.mean_confidence[k] + (1 - MOMENTUM) * mean
        thresholds = self.threshold * self.mean_confidence / self.mean_confidence.max()
        return labels, confidence >= thresholds[labels]

    def _mix(self, x: Tensor, y: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor]:
        """Return the predictions (M, K) for hard negatives, and the classes they are for, (M,)."""
        made = hard_negatives(x, y, anchors.detach(), self.hparams["mixup"], self.generator)
        with running_statistics_kept(self.network):
            return self._logits(made.inputs).softmax(dim=1), made.classes
