"""Balanced domain-class distribution alignment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    Minibatch,
    Minibatches,
    Shape,
    Unlabeled,
    mean,
    scalars,
    step,
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
    of_pairs = counts.flatten()
    own_counts = counts[domains, y].clamp(min=1)[:, None]
    distances = torch.cdist(z, centroids.flatten(0, 1), compute_mode=_EXACT)
    affinities = -distances / own_counts * (of_pairs / own_counts) ** nu / temperature
    pairs = torch.arange(len(of_pairs), device=z.device)
    is_other = (of_pairs > 0) & (pairs != (domains * num_classes + y)[:, None])
    is_positive = is_other & (pairs % num_classes == y[:, None])
    terms = masked_logsumexp(affinities, is_other)[:, None] - affinities
    return torch.where(is_positive, terms, 0.0).sum() / is_positive.sum().clamp(min=1)


class BoDA(ERM):
    """BoDA: aligns domain-class pairs, balanced by their numbers of images.

    Yang, Wang & Katabi, "On Multi-Domain Long-Tailed Recognition, Imbalanced Domain
    Generalization and Beyond", ECCV 2022, arXiv:2203.09513.

    The cross-entropy, averaged over domains, plus ``macro_weight`` times CORAL's penalty, plus,
    from update ``boda_start_step`` on, ``boda_weight`` times the mean of :func:`boda_loss`.

    Every ``feat_update_freq`` updates, at the start of the update, the centroids of all training
    features are computed again: the featurizer, in eval mode and without gradient, sees the whole
    ``hparams.train_sets`` in batches of 64, and then goes back to train mode. ``momentum`` is
    what remains of the old centroids. Instead, a loop may pass the features itself, as
    ``update``'s second argument: a list of (features, labels) per domain.

    Only pairs with images have centroids; alignment waits for the first ones (the authors' code
    aligns with zeros if it starts before); a single domain has nothing to align with. Raises
    InputError if ``hparams`` carry no label counts or no training sets.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "boda_start_step": Hparam(
            by_dataset(small=500, other=500, DomainNet=3000),
            by_dataset(
                small=lambda rng: int(100 * choice([3, 4, 5, 6])(rng)),
                other=lambda rng: int(100 * choice([3, 4, 5, 6])(rng)),
                DomainNet=lambda rng: int(1000 * choice([2, 3, 4, 5])(rng)),
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
        "nu": Hparam(0.5, power_uniform(10, -0.5, 0)),
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
                "BoDA needs the training sets, for the centroids of their features, and was given "
                "none: pass Hparams(...) with train_sets set, as train does."
            )
        counts = torch.from_numpy(required_label_counts(hparams, "BoDA")).float()
        self.register_buffer("n_samples_table", counts)
        rows = counts.numel()
        self.register_buffer("train_centroids", torch.zeros(rows, self.featurizer.n_outputs))
        self.updates = 0

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step; ``loss`` is the cross-entropy, the others are without their weights."""
        if self.updates > 0 and self.updates % self.hparams["feat_update_freq"] == 0:
            given = unlabeled if unlabeled and isinstance(unlabeled[0], tuple | list) else None
            self._refresh(given or self._training_features())
        features = [self.featurizer(x) for x, _ in minibatches]
        labels = [y for _, y in minibatches]
        loss = mean(
            [F.cross_entropy(self.classifier(z), y) for z, y in zip(features, labels, strict=True)]
        )
        macro = coral_distance(features)
        start = max(self.hparams["boda_start_step"], self.hparams["feat_update_freq"])
        aligned = self._alignment(features, labels) if self.updates >= start else 0.0
        step(
            self.optimizer,
            loss + self.hparams["macro_weight"] * macro + self.hparams["boda_weight"] * aligned,
        )
        self.updates += 1
        return scalars(loss=loss, loss_boda=aligned, penalty=macro)

    def _alignment(self, features: Sequence[Tensor], labels: Sequence[Tensor]) -> Tensor:
        """Return the mean alignment term; zero if there is none."""
        counts = self.n_samples_table.to(features[0].dtype)
        centroids = self.train_centroids.view(*counts.shape, -1)
        domains = [torch.full_like(y, domain) for domain, y in enumerate(labels)]
        return boda_loss(
            torch.cat(list(features)), torch.cat(list(labels)), torch.cat(domains),
            centroids, counts, self.hparams["nu"], self.hparams["temperature"],
        )  # fmt: skip

    def _training_features(self) -> list[Minibatch]:
        """Return the features and labels of the whole training split, per domain."""
        device = self.train_centroids.device
        was_training = self.training
        self.eval()
        found = []
        with torch.no_grad():
            for train_set in self.hparams.train_sets:
                batches = [
                    (self.featurizer(x.to(device)), y.to(device))
                    for x, y in DataLoader(train_set, batch_size=_REFRESH_BATCH)
                ]
                found.append(
                    (torch.cat([z for z, _ in batches]), torch.cat([y for _, y in batches]))
                )
        self.train(was_training)
        return found

    def _refresh(self, features: Sequence[Minibatch]) -> None:
        """Move the centroids of the pairs that occur in ``features`` to their means."""
        num_classes = self.n_samples_table.shape[1]
        z = torch.cat([z for z, _ in features]).detach()
        pairs = torch.cat([domain * num_classes + y for domain, (_, y) in enumerate(features)])
        sums = torch.zeros_like(self.train_centroids).index_add(0, pairs, z)
        counts = torch.zeros_like(sums[:, :1]).index_add(0, pairs, torch.ones_like(z[:, :1]))
        is_first = self.updates == self.hparams["feat_update_freq"]
        kept = 0.0 if is_first else self.hparams["momentum"]
        moved = torch.lerp(sums / counts.clamp(min=1), self.train_centroids, kept)
        self.train_centroids.copy_(torch.where(counts > 0, moved, self.train_centroids))
