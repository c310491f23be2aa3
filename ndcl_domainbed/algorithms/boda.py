"""Balanced domain-class distribution alignment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from imbalance_splits.errors import InputError
from ndcl_domainbed.backend import ERM
from ndcl_domainbed.hparams import (
    AT_LEAST_ONE,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    Hparam,
    by_dataset,
    choice,
    integer,
    power_uniform,
    required_label_counts,
    uniform,
)
from ndcl_domainbed.losses.masks import masked_logsumexp
from ndcl_domainbed.testbed.algorithms.alignment import coral_distance
from ndcl_domainbed.testbed.algorithms.base import (
    Minibatches,
    Shape,
    Unlabeled,
    domain_indices,
    mean,
    step,
    to_floats,
)

_REFRESH_BATCH = 64
_EXACT = "donot_use_mm_for_euclid_dist"
"""Distances from differences: those from products are imprecise near 0."""


def boda_loss(
    z: Tensor,
    y: Tensor,
    domains: Tensor,
    centroids: Tensor,
    counts: Tensor,
    nu: float,
    temperature: float,
) -> Tensor:
    """Return the mean of the alignment terms; zero if there is none.

    ``z`` (n, D) are features with labels ``y`` (n,) of the domains ``domains`` (n,);
    ``centroids`` (M, K, D) and ``counts`` (M, K) are those of all domain-class pairs. The
    affinity of sample i of domain a to the pair (d, k) is
    -|μ_{d,k} - z_i| / N_{a,y} · (N_{d,k} / N_{a,y})^nu / temperature; a term is the negative log
    of the softmax of the affinity to the same class in another domain, over all pairs but the
    sample's own. Pairs without images take no part (ECCV 2022, Eq. 5).
    """
    num_classes = counts.shape[1]
    pair_counts = counts.flatten()
    own_counts = counts[domains, y].clamp(min=1)[:, None]
    distances = torch.cdist(z, centroids.flatten(0, 1), compute_mode=_EXACT)
    affinities = -distances / own_counts * (pair_counts / own_counts) ** nu / temperature
    pairs = torch.arange(len(pair_counts), device=z.device)
    is_other = (pair_counts > 0) & (pairs != (domains * num_classes + y)[:, None])
    is_positive = is_other & (pairs % num_classes == y[:, None])
    terms = masked_logsumexp(affinities, is_other)[:, None] - affinities
    return torch.where(is_positive, terms, 0.0).sum() / is_positive.sum().clamp(min=1)


class BoDA(ERM):
    """BoDA: aligns domain-class pairs, balanced by their numbers of images.

    Yang, Wang & Katabi, "On Multi-Domain Long-Tailed Recognition, Imbalanced Domain
    Generalization and Beyond", ECCV 2022, arXiv:2203.09513.

    The cross-entropy, averaged over domains, plus ``macro_weight`` times CORAL's penalty, plus,
    from update ``boda_start_step`` on, ``boda_weight`` times the mean of :func:`boda_loss`.

    Every ``feat_update_freq`` updates, at the start of the update, the centroids are computed
    again: the featurizer, in eval mode and without gradient, sees the whole ``hparams.train_sets``
    in batches of 64. ``momentum`` is the share of the old centroids that is kept.

    Only pairs with images have centroids; alignment waits for the first ones (the authors' code
    aligns with zeros if it starts before); a single domain has nothing to align with. Raises
    InputError if ``hparams`` carry no label counts or no training sets.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "boda_start_step": Hparam(
            by_dataset(small=500, other=500, DomainNet=3000),
            by_dataset(
                small=choice([300, 400, 500, 600]),
                other=choice([300, 400, 500, 600]),
                DomainNet=choice([2000, 3000, 4000, 5000]),
            ),
            within=NOT_NEGATIVE,
            in_steps=True,
        ),
        "feat_update_freq": Hparam(
            by_dataset(small=120, other=120, DomainNet=2000),
            by_dataset(
                small=integer(uniform(100, 150)),
                other=integer(uniform(100, 150)),
                DomainNet=lambda rng: int(10 * rng.uniform(150, 300)),
            ),
            within=AT_LEAST_ONE,
            in_steps=True,
        ),
        "nu": Hparam(0.5, power_uniform(10, -0.5, 0), within=NOT_NEGATIVE),
        "boda_weight": Hparam(0.1, power_uniform(10, -2, -0.5), within=NOT_NEGATIVE),
        "temperature": Hparam(1.0, power_uniform(10, -1, 0.5), within=POSITIVE),
        "macro_weight": Hparam(1.0, power_uniform(10, -1, 1), within=NOT_NEGATIVE),
        "momentum": Hparam(0.2, uniform(0, 0.4), within=SHARE),
    }

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
    ) -> None:
        super().__init__(input_shape, num_classes, num_domains, hparams)
        if getattr(hparams, "train_sets", None) is None:
            raise InputError(
                "BoDA needs the training sets, for the centroids of their features, and got none: "
                "pass Hparams(...) with train_sets set, as train does."
            )
        counts = torch.from_numpy(required_label_counts(hparams, "BoDA")).float()
        self.register_buffer("n_samples_table", counts)
        rows = counts.numel()
        self.register_buffer("train_centroids", torch.zeros(rows, self.featurizer.n_outputs))
        self.updates = 0

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step; ``loss`` is the cross-entropy, the others are without their weights."""
        frequency = self.hparams["feat_update_freq"]
        if self.updates > 0 and self.updates % frequency == 0:
            self._refresh_centroids(*self._compute_training_features())
        features = [self.featurizer(x) for x, _ in minibatches]
        labels = [y for _, y in minibatches]
        loss = mean(
            [F.cross_entropy(self.classifier(z), y) for z, y in zip(features, labels, strict=True)]
        )
        macro = coral_distance(features)
        aligned: Tensor | float = 0.0
        if self.updates >= max(self.hparams["boda_start_step"], frequency):
            counts = self.n_samples_table.to(features[0].dtype)
            aligned = boda_loss(
                torch.cat(features), torch.cat(labels), domain_indices(minibatches),
                self.train_centroids.view(*counts.shape, -1), counts,
                self.hparams["nu"], self.hparams["temperature"],
            )  # fmt: skip
        step(
            self.optimizer,
            loss + self.hparams["macro_weight"] * macro + self.hparams["boda_weight"] * aligned,
        )
        self.updates += 1
        return to_floats(loss=loss, loss_boda=aligned, penalty=macro)

    @torch.no_grad()
    def _compute_training_features(self) -> tuple[Tensor, Tensor]:
        """Return the features (n, D) of the whole training split and their pairs d·K + k (n,)."""
        device, num_classes = self.train_centroids.device, self.n_samples_table.shape[1]
        was_training = self.training
        self.eval()
        features, pairs = [], []
        for domain, train_set in enumerate(self.hparams.train_sets):
            for x, y in DataLoader(train_set, batch_size=_REFRESH_BATCH):
                features.append(self.featurizer(x.to(device)))
                pairs.append(domain * num_classes + y.to(device))
        self.train(was_training)
        return torch.cat(features), torch.cat(pairs)

    def _refresh_centroids(self, z: Tensor, pairs: Tensor) -> None:
        """Move the centroids of ``pairs`` (n,) toward the means of their features ``z`` (n, D)."""
        sums = torch.zeros_like(self.train_centroids).index_add(0, pairs, z)
        counts = torch.zeros_like(sums[:, :1]).index_add(0, pairs, torch.ones_like(z[:, :1]))
        is_first = self.updates == self.hparams["feat_update_freq"]
        kept = 0.0 if is_first else self.hparams["momentum"]
        moved = torch.lerp(sums / counts.clamp(min=1), self.train_centroids, kept)
        self.train_centroids.copy_(torch.where(counts > 0, moved, self.train_centroids))
