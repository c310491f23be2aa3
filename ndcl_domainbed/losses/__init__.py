"""The losses of negatives-dominant contrastive learning, and those they are compared with.

Pure functions of tensors: they know no model, optimizer, generator or run, and this package can be
lifted out and used alone. A batch with nothing to compare (one class, one domain, single samples)
gives a zero with a gradient. Source: Cao, Liu & Chen, "Negatives-Dominant Contrastive Learning for
Generalization in Imbalanced Domains", ICML 2026, arXiv:2601.21999.
"""

from __future__ import annotations

from ndcl_domainbed.losses.alignment import prototype_alignment
from ndcl_domainbed.losses.contrasts import infonce_contrast, supcon_contrast
from ndcl_domainbed.losses.cross_entropy import reweighted_cross_entropy
from ndcl_domainbed.losses.negatives import KERNELS, amplification_factor, negatives_contrast
from ndcl_domainbed.losses.priors import (
    DomainClassPrior,
    fit_strength,
    inverse_prior,
    logit_prior,
    smooth_counts,
)
from ndcl_domainbed.losses.prototypes import (
    Prototypes,
    batch_prototypes,
    kept_prototypes,
)

__all__ = [
    "KERNELS",
    "DomainClassPrior",
    "Prototypes",
    "amplification_factor",
    "batch_prototypes",
    "fit_strength",
    "infonce_contrast",
    "inverse_prior",
    "kept_prototypes",
    "logit_prior",
    "negatives_contrast",
    "prototype_alignment",
    "reweighted_cross_entropy",
    "smooth_counts",
    "supcon_contrast",
]
