"""Negatives-dominant contrastive learning."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from imbalance_splits.errors import InputError
from ndcl_domainbed import losses
from ndcl_domainbed.algorithms.ndcl_settings import HPARAMS, Settings
from ndcl_domainbed.backend import ERM
from ndcl_domainbed.hard_negatives import fixed_class_budget, hard_negatives
from ndcl_domainbed.hparams import Hparam, required_label_counts
from ndcl_domainbed.losses.cosines import unit_rows
from ndcl_domainbed.losses.masks import zero_with_gradient
from ndcl_domainbed.testbed.algorithms.base import (
    Minibatches,
    Shape,
    Unlabeled,
    batch_sizes,
    concatenate,
    domain_indices,
    to_floats,
    to_full_precision,
)
from ndcl_domainbed.testbed.algorithms.descent import SAM_RHO, descend
from ndcl_domainbed.testbed.networks.batch_norm import running_statistics_kept

KeptTable = tuple[Tensor, Tensor]
"""Prototypes (D, K, F) and which of them exist, (D, K)."""


@dataclass(frozen=True, slots=True)
class LastStep:
    """What the last update of :class:`NDCL` saw, detached.

    ``labels`` (N,) are those of the batch, in the order of the minibatches; ``anchors`` (N, F) the
    predictions (or unit features), ``mixed`` (M, F) those of the hard negatives and
    ``mixed_classes`` (M,) the class that each is a negative for (M = 0 without a second pass).
    """

    labels: Tensor
    anchors: Tensor
    mixed: Tensor
    mixed_classes: Tensor
    settings: Settings

    def amplification(self) -> Tensor:
        """Return the amplification factor A_i of each sample of the batch, (N,)."""
        batch = (self.anchors, self.labels, self.mixed, self.mixed_classes)
        kernel, tau = self.settings.kernel, self.settings.tau
        return losses.amplification_factor(*batch, kernel=kernel, tau=tau)


class NDCL(ERM):
    """NDCL: negatives-dominant contrastive learning for imbalanced domain generalization.

    Cao, Liu & Chen, "Negatives-Dominant Contrastive Learning for Generalization in Imbalanced
    Domains", ICML 2026, arXiv:2601.21999.

    L = L_ce + alpha L_con + beta L_const: a cross-entropy in which every class counts once and
    hard samples count more, a contrast dominated by hard negatives from mixup, and the
    alignment of class prototypes between domains. All three live in prediction space.

    =========================  ============  =====================================================
    hyper-parameter            default       meaning
    =========================  ============  =====================================================
    ``alpha``, ``beta``        0.1           weights of L_con and L_const
    ``mixup``                  0.2           ρ of the Beta(ρ, ρ) that hard negatives are mixed by
    ``mixup_per_pair``         False         a mixing weight per pair, not one for the first round
    ``contrast``               'negatives'   'infonce', 'supcon' or 'none' in its place
    ``kernel``, ``tau``        'exp', 1      kernel ('exp', 'linear') and temperature of L_con
    ``pairing``                'spread'      'released': samples paired as the published code does
    ``budget``                 'frequency'   hard negatives per class: 'equal' or 'fixed' instead
    ``budget_scale``           1             mixed samples per sample of the batch
    ``class_prior``            'none'        'inverse' frequency or 'logit' adjustment in L_ce
    ``prior_strength``         0             κ that smooths the prior of 'logit'; 'auto', 'pooled'
    ``space``                  'prediction'  'feature': L_con and L_const on unit features
    ``tau_align``              1             temperature of L_const
    ``prototype_momentum``     0             share of the earlier prototypes that is kept
    ``prototype_min_count``    1             fewest samples of a pair that makes a prototype
    ``mixed_pass_updates_bn``  False         let the second pass move the statistics of batch norm
    ``ce_weight``              1             weight of L_ce; 0 leaves it out
    ``sam_rho``                0             ρ of sharpness-aware steps
    =========================  ============  =====================================================

    ``class_prior`` 'logit', ``prior_strength``, ``ce_weight`` and ``sam_rho`` are additions of this
    package.

    An update passes the real batch and then the hard negatives through the network, and reads back
    from the device once (twice with ``budget`` 'fixed' or ``pairing`` 'released': how many hard
    negatives there are is up to the batch). A class without any is one of the classes that L_con
    averages over, and adds 0. With ``contrast`` 'none' or ``alpha`` 0 there is no second pass and
    ``loss_con`` is 0.
    ``generator``, seeded from torch's global one at construction, draws the mixing weights;
    ``last_step`` serves diagnostics. Raises InputError for unusable hyper-parameters, and for a
    ``class_prior`` other than 'none' without label counts.
    """

    prior_weights: Tensor | None
    prior_offsets: Tensor | None
    prototype_vectors: Tensor
    prototype_seen: Tensor

    HPARAMS: ClassVar[dict[str, Hparam]] = {**HPARAMS, "sam_rho": SAM_RHO}

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
    ) -> None:
        settings = Settings.from_hparams(hparams)
        prior = _make_prior(settings, num_domains, num_classes, hparams)
        super().__init__(input_shape, num_classes, num_domains, hparams)
        self.settings = settings
        self.last_step: LastStep | None = None
        self.generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        self.register_buffer("prior_weights", prior.weights, persistent=False)
        self.register_buffer("prior_offsets", prior.offsets, persistent=False)
        if settings.prototype_momentum > 0:
            width = num_classes if settings.space == "prediction" else self.featurizer.n_outputs
            table = torch.zeros(num_domains, num_classes, width)
            self.register_buffer("prototype_vectors", table)
            self.register_buffer("prototype_seen", table.new_zeros(table.shape[:2]).bool())

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step on L; return it as ``loss``, and its terms without their weights."""
        x, y = concatenate(minibatches)
        domains, largest = domain_indices(minibatches), max(batch_sizes(minibatches))
        made: tuple[Tensor, Tensor] | None = None

        def compute_losses() -> tuple[Any, ...]:
            nonlocal made
            logits, anchors = self._embed(x)
            made = made or self._mix(x, y, logits, anchors, largest)  # once, also with sam_rho
            inputs, classes = made
            mixed = self._embed_mixed(inputs) if len(inputs) else anchors[:0]
            batch = (logits, anchors, y, domains, mixed, classes)
            with torch.autocast(x.device.type, enabled=False):
                return (*self._compute_losses(*batch), anchors, mixed, classes)

        loss, (loss_ce, loss_con, loss_const), *found = descend(self, compute_losses)
        table, anchors, mixed, mixed_classes = found
        if table is not None:
            self.prototype_vectors, self.prototype_seen = table
        self.last_step = LastStep(y, anchors.detach(), mixed.detach(), mixed_classes, self.settings)
        return to_floats(loss=loss, loss_ce=loss_ce, loss_con=loss_con, loss_const=loss_const)

    def compile_losses(self) -> None:
        """Compile what an update computes from the outputs of the network."""
        self._compute_losses = torch.compile(self._compute_losses)  # type: ignore[method-assign]

    def _compute_losses(
        self,
        logits: Tensor,
        anchors: Tensor,
        y: Tensor,
        domains: Tensor,
        mixed: Tensor,
        mixed_classes: Tensor,
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor], KeptTable | None]:
        """Return L, its terms without their weights, and the prototypes to keep."""
        settings = self.settings
        prior = losses.DomainClassPrior(self.prior_weights, self.prior_offsets)
        loss_ce = losses.reweighted_cross_entropy(logits, y, domains, prior)
        loss_con = self._compute_contrast(anchors, y, mixed, mixed_classes)
        prototypes, table = self._make_prototypes(anchors, y, domains)
        aligned = (prototypes.vectors, y, prototypes.active)
        loss_const = losses.prototype_alignment(*aligned, tau=settings.tau_align)
        loss = settings.ce_weight * loss_ce + settings.alpha * loss_con + settings.beta * loss_const
        return loss, (loss_ce, loss_con, loss_const), table

    def _embed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, K) and the vectors (B, F) of the space that contrasts live in."""
        if self.settings.space == "prediction":
            logits = to_full_precision(self.network(x))
            return logits, logits.softmax(dim=1)
        features = self.featurizer(x)
        logits = to_full_precision(self.classifier(features))
        return logits, unit_rows(to_full_precision(features))

    def _mix(
        self, x: Tensor, y: Tensor, logits: Tensor, anchors: Tensor, largest: int
    ) -> tuple[Tensor, Tensor]:
        """Return the inputs (M, ...) of this step's hard negatives and the classes they are for.

        M is 0 if there is no second pass; ``largest`` is the size of the largest minibatch.
        """
        settings = self.settings
        if settings.contrast == "none" or settings.alpha == 0:
            return x[:0], y[:0]
        posterior = anchors if settings.space == "prediction" else logits.softmax(dim=1)
        negatives = hard_negatives(
            x, y, posterior.detach(), settings.mixup, self.generator, pairing=settings.pairing,
            budget=settings.budget, per_class=fixed_class_budget(largest),
            per_pair=settings.mixup_per_pair, scale=settings.budget_scale,
        )  # fmt: skip
        return negatives.inputs, negatives.classes

    def _embed_mixed(self, inputs: Tensor) -> Tensor:
        """Return the vectors (M, F) of the hard negatives, in the space that contrasts live in."""
        moves = self.settings.mixed_pass_updates_bn
        with nullcontext() if moves else running_statistics_kept(self.network):
            return self._embed(inputs)[1]

    def _compute_contrast(
        self, anchors: Tensor, y: Tensor, mixed: Tensor, classes: Tensor
    ) -> Tensor:
        """Return L_con or the contrast that replaces it; 0 if there is none."""
        settings, batch = self.settings, (anchors, y, mixed, classes)
        if settings.contrast == "none" or settings.alpha == 0:
            return zero_with_gradient(anchors)
        if settings.contrast == "negatives":
            return losses.negatives_contrast(*batch, kernel=settings.kernel, tau=settings.tau)
        if settings.contrast == "infonce":
            return losses.infonce_contrast(*batch, tau=settings.tau)
        return losses.supcon_contrast(*batch, tau=settings.tau)

    def _make_prototypes(
        self, anchors: Tensor, y: Tensor, domains: Tensor
    ) -> tuple[losses.Prototypes, KeptTable | None]:
        """Return this step's prototypes, and the table to keep with ``prototype_momentum``."""
        fewest, momentum = self.settings.prototype_min_count, self.settings.prototype_momentum
        found = losses.batch_prototypes(anchors, y, domains, fewest)
        if momentum == 0:
            return found, None
        found, vectors, seen = losses.kept_prototypes(
            found, self.prototype_vectors, self.prototype_seen, momentum, fewest
        )
        return found, (vectors, seen)


def _make_prior(
    settings: Settings, num_domains: int, num_classes: int, hparams: Mapping[str, Any]
) -> losses.DomainClassPrior:
    """Return the domain-class prior of the training counts that ``hparams`` carry."""
    if settings.class_prior == "none":
        return losses.DomainClassPrior()
    counts = required_label_counts(hparams, f"NDCL with class_prior {settings.class_prior!r}")
    if counts.shape != (num_domains, num_classes):
        expected = f"there are {num_domains} training domains and {num_classes} classes"
        raise InputError(f"NDCL got label counts of shape {counts.shape}, but {expected}.")
    table = torch.as_tensor(counts, dtype=torch.get_default_dtype())
    if settings.class_prior == "inverse":
        return losses.inverse_prior(table)
    return losses.logit_prior(losses.smooth_counts(table, settings.prior_strength))
