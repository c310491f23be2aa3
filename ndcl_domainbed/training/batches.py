"""Minibatches that are a pure function of (seed, step, domain, position).

DomainBed draws from endless samplers, whose state depends on all that was drawn before. Here the
images of a step, and the random augmentation of each, depend on nothing but their place: a run
can resume from any step, and the number of loader processes does not change what it sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Subset, TensorDataset, default_collate

from imbalance_splits.labels import labels_of
from imbalance_splits.seeds import seed_hash
from ndcl_domainbed.training.seeding import generators_restored, seed_cpu

Batch = tuple[torch.Tensor, torch.Tensor]


def in_memory(subset: Subset[Any]) -> bool:
    """Tell whether a subset's images are tensors in memory, to be indexed at once."""
    return isinstance(subset.dataset, TensorDataset)


def take(dataset: Any, indices: np.ndarray, seed: int | None = None, first_view: int = 0) -> Batch:
    """Return the images and labels at ``indices`` of a dataset in memory.

    A dataset that holds several views of an image chooses one, from ``first_view`` on, by
    ``seed``; without it the plain one, which is the first.
    """
    chosen = torch.from_numpy(indices)
    if hasattr(dataset, "take"):
        images, labels = dataset.take(chosen, seed, first_view)
        return images, labels
    images, labels = dataset.tensors
    return images[chosen], labels[chosen]


def fetch(subset: Subset[Any], positions: np.ndarray, seeds: Sequence[int]) -> Batch:
    """Return the images and labels at ``positions`` of ``subset``.

    Image j is loaded, and augmented, with the generators seeded by ``seeds[j]``.
    """
    if in_memory(subset):
        indices = np.asarray(subset.indices, dtype=np.int64)[positions]
        return take(subset.dataset, indices, seeds[0] if seeds else None)
    items = []
    with generators_restored():
        for position, seed in zip(positions, seeds, strict=True):
            seed_cpu(seed)
            items.append(subset[int(position)])
    images, labels = default_collate(items)
    return images, labels


class StepBatches(Dataset[list[Batch]]):
    """Item ``step`` is the list of the minibatches of that step, one (x, y) per domain.

    A batch is drawn with replacement, so a domain may have fewer images than ``batch_size``.
    With ``class_balanced`` the class is drawn first, each class of the domain as likely as the
    others, then the image.
    """

    first_view = 0
    """The first of the views of an image in memory that are drawn; 0 is the plain one."""

    def __init__(
        self,
        subsets: Sequence[Subset[Any]],
        batch_size: int,
        seed: int,
        *,
        class_balanced: bool = False,
    ) -> None:
        self.subsets = list(subsets)
        self.batch_size = batch_size
        self.seed = seed
        self.by_class = (
            [list(_positions_by_class(subset).values()) for subset in subsets]
            if class_balanced
            else None
        )
        # Seeding one generator takes 8 µs, making a seeded one 270.
        self._generator = np.random.RandomState()
        self._indices = [np.asarray(subset.indices, dtype=np.int64) for subset in subsets]

    def __getitem__(self, step: int) -> list[Batch]:
        """Return the minibatches of ``step``, in domain order."""
        domains = range(len(self.subsets))
        return [self._batch(step, d, self.positions(step, d)) for d in domains]

    def positions(self, step: int, domain: int) -> np.ndarray:
        """Return which images of the domain's training set step ``step`` sees, (batch_size,)."""
        rng = self._generator
        rng.seed(seed_hash(self.seed, step, domain))
        if self.by_class is None:
            return rng.randint(len(self.subsets[domain]), size=self.batch_size)
        classes = self.by_class[domain]
        drawn = rng.randint(len(classes), size=self.batch_size)
        return np.array([classes[k][rng.randint(len(classes[k]))] for k in drawn])

    def _batch(self, step: int, domain: int, positions: np.ndarray) -> Batch:
        subset = self.subsets[domain]
        if in_memory(subset):
            seed = seed_hash(self.seed, step, domain, "view")
            return take(subset.dataset, self._indices[domain][positions], seed, self.first_view)
        seeds = [seed_hash(self.seed, step, domain, j) for j in range(len(positions))]
        return fetch(subset, positions, seeds)


class ViewPairs(StepBatches):
    """Minibatches of unlabeled images in two views, (B, 2, …): plain, and augmented.

    ``plain`` are the ``subsets`` without augmentation. All labels are -1.
    """

    first_view = 1

    def __init__(
        self,
        subsets: Sequence[Subset[Any]],
        plain: Sequence[Subset[Any]],
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__(subsets, batch_size, seed)
        self.plain = list(plain)

    def _batch(self, step: int, domain: int, positions: np.ndarray) -> Batch:
        augmented, labels = super()._batch(step, domain, positions)
        subset = self.plain[domain]
        is_in_memory = in_memory(subset)
        seeds = [] if is_in_memory else [seed_hash(self.seed, step, domain)] * len(positions)
        plain, _ = fetch(subset, positions, seeds)
        return torch.stack([plain, augmented], dim=1), torch.full_like(labels, -1)


class PooledBalancedBatches(StepBatches):
    """Minibatches in which all classes of the sources, pooled, are equally likely.

    Of each of a step's D·B images the class is drawn first, then one of all images of the class,
    whatever their domain (class-balanced sampling: Kang et al., ICLR 2020, section 4.1). Item
    ``step`` lists the minibatches of the domains that have an image in it.
    """

    def __init__(self, subsets: Sequence[Subset[Any]], batch_size: int, seed: int) -> None:
        super().__init__(subsets, batch_size, seed)
        found: dict[int, list[np.ndarray]] = {}
        for domain, subset in enumerate(subsets):
            for k, places in _positions_by_class(subset).items():
                pairs = np.stack([np.full_like(places, domain), places], axis=1)
                found.setdefault(k, []).append(pairs)
        self._images = [np.concatenate(found[k]) for k in sorted(found)]

    def __getitem__(self, step: int) -> list[Batch]:
        """Return the minibatches of ``step``, in domain order."""
        drawn = self._draw(step)
        by_domain = [drawn[drawn[:, 0] == domain, 1] for domain in range(len(self.subsets))]
        return [self._batch(step, d, places) for d, places in enumerate(by_domain) if len(places)]

    def positions(self, step: int, domain: int) -> np.ndarray:
        """Return which images of the domain's training set step ``step`` sees, (n,)."""
        drawn = self._draw(step)
        return drawn[drawn[:, 0] == domain, 1]

    def _draw(self, step: int) -> np.ndarray:
        """Return domain, and position in its training set, of the step's images, (D·B, 2)."""
        rng = self._generator
        rng.seed(seed_hash(self.seed, step))
        drawn = rng.randint(len(self._images), size=self.batch_size * len(self.subsets))
        return np.array([self._images[k][rng.randint(len(self._images[k]))] for k in drawn])


def _positions_by_class(subset: Subset[Any]) -> dict[int, np.ndarray]:
    """Return class -> the positions of its images, for the classes that there are, in order."""
    labels = labels_of(subset.dataset)[np.asarray(subset.indices)]
    return {int(k): np.flatnonzero(labels == k) for k in np.unique(labels)}
