"""Balanced domain-class distribution alignment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch.autograd.function import once_differentiable
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
from ndcl_domainbed.testbed.algorithms.alignment import (
    SMALLEST_SQUARE,
    coral_distance,
    squared_distances,
    squared_lengths,
)
from ndcl_domainbed.testbed.algorithms.base import Minibatch, mean, scalars, step

_REFRESH_BATCH = 64


def boda_loss(
    z: torch.Tensor,
    y: torch.Tensor,
    domains: torch.Tensor,
    centroids: torch.Tensor,
    counts: torch.Tensor,
    nu: float,
    temperature: float,
) -> torch.Tensor:
    """Return the mean of the alignment terms; zero if there is none.

    ``z`` (n, D) are features with labels ``y`` (n,) of the domains ``domains`` (n,);
    ``centroids`` (M, K, D) and ``counts`` (M, K) are those of all domain-class pairs. The
    affinity of sample i of domain a to the pair (d, k) is
    -|μ_{d,k} - z_i| / N_{a,y} · (N_{d,k} / N_{a,y})^nu / temperature; a term is the negative log
    of the softmax of the affinity to the same class in another domain, over all pairs but the
    sample's own. Pairs without images take no part (ECCV 2022, Eq. 5).
    """
    scales = _Scales.of(y, domains, counts, nu, temperature)
    return _aligned(z, _Centroids.of(centroids.flatten(0, 1)), scales)


def _aligned(z: torch.Tensor, centroids: _Centroids, scales: _Scales) -> torch.Tensor:
    """Return :func:`boda_loss`."""
    mean_term: torch.Tensor = _MeanTerm.apply(z - centroids.middle, centroids, scales)
    return mean_term


@dataclass(frozen=True, slots=True)
class _Centroids:
    """What distances to the centroids (M·K, D) need of them, which is the same between refreshes.

    Distances are made of products, which are precise near 0: ``middle`` (D,) is the mean of the
    centroids, ``centered`` (M·K, D) what is left of them and ``squares`` (M·K, 1) their lengths,
    squared. ``made_of`` are the centroids and how often they had been changed.
    """

    middle: torch.Tensor
    centered: torch.Tensor
    squares: torch.Tensor
    made_of: tuple[torch.Tensor, int]

    @classmethod
    def of(cls, centroids: torch.Tensor) -> _Centroids:
        middle = centroids.mean(dim=0)
        centered = centroids - middle
        made_of = centroids, centroids._version
        return cls(middle, centered, squared_lengths(centered), made_of)

    def are_still(self, centroids: torch.Tensor) -> bool:
        """Return whether ``centroids`` are those that this was made of, unchanged."""
        tensor, version = self.made_of
        return tensor is centroids and version == centroids._version


class _Scales(NamedTuple):
    """What makes affinities of distances: distance x ``rows`` (n, 1) x ``columns`` + ``left_out``.

    ``columns`` and ``left_out`` (M·K,) are of the pairs; the latter is 0, or the lowest number for
    a pair without images. ``own_pair`` (n, 1) is that of each sample; ``same_class`` (n, M) are
    those of its class and ``positive`` is 1 for those it is aligned with, else 0.
    """

    rows: torch.Tensor
    columns: torch.Tensor
    left_out: torch.Tensor
    own_pair: torch.Tensor
    same_class: torch.Tensor
    positive: torch.Tensor

    @classmethod
    def of(
        cls,
        y: torch.Tensor,
        domains: torch.Tensor,
        counts: torch.Tensor,
        nu: float,
        temperature: float,
    ) -> _Scales:
        """Take what :func:`boda_loss` is given."""
        own = counts[domains, y].clamp(min=1)[:, None]
        num_domains, num_classes = counts.shape
        first = num_classes * torch.arange(num_domains, device=y.device)
        of_pairs, same_class = counts.flatten(), y[:, None] + first
        own_pair = (domains * num_classes + y)[:, None]
        positive = (of_pairs[same_class] > 0) & (same_class != own_pair)
        left_out = (of_pairs == 0).to(counts.dtype) * torch.finfo(counts.dtype).min
        rows = own.pow(1 + nu).mul_(-temperature).reciprocal_()
        positive = positive.to(counts.dtype)
        return cls(rows, of_pairs.pow(nu), left_out, own_pair, same_class, positive)


class _MeanTerm(torch.autograd.Function):
    """The mean term of rows A (n, D) and centroids B (M·K, D), with its slope in closed form.

    With W the softmax of the affinities, p the numbers of positives and G = pW - positives, that
    of A is, up to ``rows`` and the number of terms, Σ_j H_ij (A_i - B_j) with H = G x ``columns``
    over the distances.
    """

    @staticmethod
    def forward(
        ctx: Any, rows: torch.Tensor, centroids: _Centroids, scales: _Scales
    ) -> torch.Tensor:
        others, same_class, positive = centroids.centered, scales.same_class, scales.positive
        distances = squared_distances(rows, others, centroids.squares).sqrt_()
        kept = torch.addcmul(scales.left_out, distances * scales.rows, scales.columns)
        near = kept.gather(1, same_class)
        kept.scatter_(1, scales.own_pair, torch.finfo(kept.dtype).min)
        weights, log_total = kept.softmax(dim=1), kept.logsumexp(dim=1)
        terms = torch.where(positive > 0, log_total[:, None] - near, 0.0)
        counts, number = positive.sum(dim=1, keepdim=True), positive.sum().clamp(min=1)
        slope = weights.scatter_add_(1, same_class, -positive / counts.clamp(min=1))
        # where rows coincide there is no slope
        distances = F.threshold(distances, 2 * SMALLEST_SQUARE**0.5, torch.inf, inplace=True)
        slope.mul_(scales.columns).div_(distances)
        of_rows = slope.sum(dim=1, keepdim=True) * rows - slope @ others
        ctx.save_for_backward(of_rows.mul_(counts * scales.rows / number))
        return terms.sum() / number

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (of_rows,) = ctx.saved_tensors
        return gradient * of_rows, None, None


class BoDA(ERM):
    """BoDA: aligns domain-class pairs, balanced by their numbers of images.

    Yang, Wang & Katabi, "On Multi-Domain Long-Tailed Recognition, Imbalanced Domain
    Generalization and Beyond", ECCV 2022, arXiv:2203.09513.

    The cross-entropy, averaged over domains, plus ``macro_weight`` times CORAL's penalty, plus,
    from update ``boda_start_step`` on, ``boda_weight`` times the mean of :func:`boda_loss`.

    Every ``feat_update_freq`` updates, at the start of the update, the centroids of all training
    features are computed anew: the featurizer, in eval mode and without gradient, sees the whole
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
        self,
        input_shape: Sequence[int],
        num_classes: int,
        num_domains: int,
        hparams: Mapping[str, Any],
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
        self._centroids: _Centroids | None = None

    def update(
        self, minibatches: Sequence[Minibatch], unlabeled: Sequence[Any] | None = None
    ) -> dict[str, float]:
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

    def _alignment(
        self, features: Sequence[torch.Tensor], labels: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Return the mean alignment term; zero if there is none."""
        counts = self.n_samples_table.to(features[0].dtype)
        if self._centroids is None or not self._centroids.are_still(self.train_centroids):
            self._centroids = _Centroids.of(self.train_centroids)
        nu, temperature = self.hparams["nu"], self.hparams["temperature"]
        domains = [torch.full_like(y, domain) for domain, y in enumerate(labels)]
        y, domain = torch.cat(list(labels)), torch.cat(domains)
        scales = _Scales.of(y, domain, counts, nu, temperature)
        return _aligned(torch.cat(list(features)), self._centroids, scales)

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
