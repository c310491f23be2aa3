"""The losses once more, as slow, plain loops over the equations, and batches to try them on."""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """A random batch in float64: N samples of K classes from D domains, M synthetic negatives."""

    logits: Tensor
    labels: Tensor
    domains: Tensor
    mixed_logits: Tensor
    mixed_classes: Tensor

    def posteriors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what the contrasts take: anchors, labels, negatives and their classes."""
        mixed = self.mixed_logits.softmax(dim=1)
        return self.logits.softmax(dim=1), self.labels, mixed, self.mixed_classes


def make_batch(labels: list[int], domains: list[int], k: int, mixed: int, seed: int = 0) -> Batch:
    """Return a batch with these labels and domains, and ``mixed`` negatives for its classes."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.tensor(labels)
    classes = y[torch.randint(len(y), (mixed,), generator=generator)]
    return Batch(
        2 * torch.randn(len(y), k, generator=generator, dtype=torch.float64),
        y,
        torch.tensor(domains),
        2 * torch.randn(mixed, k, generator=generator, dtype=torch.float64),
        classes,
    )


def random_batch(n: int, k: int, d: int, seed: int, drawn_from: int | None = None) -> Batch:
    """Return a batch whose labels are drawn uniformly from the first ``drawn_from`` classes."""
    generator = torch.Generator().manual_seed(1000 + seed)
    labels = torch.randint(drawn_from or k, (n,), generator=generator).tolist()
    domains = sorted(torch.randint(d, (n,), generator=generator).tolist())
    return make_batch(labels, domains, k, n, seed)


BATCHES = {
    "two classes": random_batch(12, 2, 2, seed=1),
    "seven classes": random_batch(30, 7, 3, seed=2),
    "sixty-five classes": random_batch(36, 65, 3, seed=3),
    "345 classes, few samples each": random_batch(30, 345, 4, seed=4, drawn_from=20),
    "345 classes": random_batch(24, 345, 4, seed=5),
    "single samples": make_batch([0, 1, 2, 3, 4, 5], [0, 0, 0, 1, 1, 1], 6, 6),
    "one class of many, others single": make_batch([2] * 9 + [0, 1, 3], [0, 1, 2] * 4, 4, 12),
    "one class": make_batch([3] * 8, [0, 0, 0, 0, 1, 1, 1, 1], 5, 0),
    "one domain": make_batch([0, 1, 1, 2, 2, 2], [0] * 6, 3, 6),
    "classes absent from domains": make_batch(
        [0, 0, 1, 1, 1, 2, 2, 3], [0, 0, 0, 1, 1, 1, 2, 2], 5, 8
    ),
    "one sample": make_batch([1], [0], 3, 0),
}


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum() / (a.norm() * b.norm())


def classes_of(labels: Tensor) -> list[int]:
    return sorted(set(labels.tolist()))


def members(labels: Tensor, k: int) -> list[int]:
    return [i for i, y in enumerate(labels.tolist()) if y == k]


def plain_prior(kind: str, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return r[d,k] and what is added to the logits, by loops."""
    weights, offsets = torch.ones_like(counts), torch.zeros_like(counts)
    number_of_classes = counts.shape[1]
    for d, row in enumerate(counts.tolist()):
        total = sum(1 / n for n in row if n > 0)
        for k, n in enumerate(row):
            if kind == "inverse":
                weights[d, k] = number_of_classes * (1 / n) / total if n > 0 else 0.0
            if kind == "logit":
                offsets[d, k] = math.log(n) if n > 0 else -math.inf
    return weights, offsets


def plain_cross_entropy(batch: Batch, kind: str = "none", counts: Tensor | None = None) -> Tensor:
    if counts is None:
        counts = torch.ones(int(batch.domains.max()) + 1, batch.logits.shape[1]).double()
    weights, offsets = plain_prior(kind, counts)
    total = batch.logits.new_zeros(())
    classes = classes_of(batch.labels)
    for k in classes:
        losses = []
        for i in members(batch.labels, k):
            shifted = batch.logits[i] + offsets[batch.domains[i]]
            losses.append(torch.log(torch.exp(shifted).sum()) - shifted[k])
        summed = sum(math.exp(loss.item()) for loss in losses)
        for i, loss in zip(members(batch.labels, k), losses, strict=True):
            total = total + math.exp(loss.item()) / summed * weights[batch.domains[i], k] * loss
    return total / len(classes)


def kernel_value(u: Tensor, kernel: str, tau: float) -> Tensor:
    return torch.exp(u / tau) if kernel == "exp" else u / tau + 1e-4


def plain_sums(
    anchors: Tensor,
    labels: Tensor,
    negatives: Tensor,
    negative_classes: Tensor,
    i: int,
    kernel: str,
    tau: float,
) -> tuple[Tensor | float, Tensor | float]:
    """Return P_i and Q_i."""
    k = int(labels[i])
    positive = negative = 0.0
    for p in members(labels, k):
        if p != i:
            u = 1 - cosine(anchors[i], anchors[p])
            positive = positive + kernel_value(u, kernel, tau)
    for n in members(negative_classes, k):
        u = 1 - cosine(anchors[i], negatives[n])
        negative = negative + kernel_value(u, kernel, tau)
    return positive, negative


def class_means(labels: Tensor, loss_of: list[Tensor | float]) -> Tensor | float:
    classes = classes_of(labels)
    total = 0.0
    for k in classes:
        own = members(labels, k)
        total = total + sum(loss_of[i] for i in own) / len(own)
    return total / len(classes)


def plain_negatives(anchors, labels, negatives, negative_classes, kernel="exp", tau=1.0):
    batch = (anchors, labels, negatives, negative_classes)
    losses = []
    for i in range(len(labels)):
        positive, negative = plain_sums(*batch, i, kernel, tau)
        has_negative = len(members(negative_classes, int(labels[i]))) > 0
        if has_negative:
            losses.append(-torch.log(negative / (positive + negative)))
        else:
            losses.append(0.0)
    return class_means(labels, losses) + 0 * anchors.sum()


def plain_infonce(anchors, labels, negatives, negative_classes, tau=1.0):
    losses = []
    for i in range(len(labels)):
        others = [anchors[j] for j in range(len(labels)) if labels[j] != labels[i]]
        others += [negatives[n] for n in members(negative_classes, int(labels[i]))]
        opponents = sum(torch.exp(cosine(anchors[i], x) / tau) for x in others)
        terms = []
        for p in members(labels, int(labels[i])):
            if p != i:
                own = torch.exp(cosine(anchors[i], anchors[p]) / tau)
                terms.append(-torch.log(own / (own + opponents)))
        losses.append(sum(terms) / len(terms) if terms else 0.0)
    return class_means(labels, losses) + 0 * anchors.sum()


def plain_supcon(anchors, labels, negatives, negative_classes, tau=1.0):
    losses = []
    for i in range(len(labels)):
        synthetic = [negatives[n] for n in members(negative_classes, int(labels[i]))]
        others = [anchors[j] for j in range(len(labels)) if j != i] + synthetic
        positives = [p for p in members(labels, int(labels[i])) if p != i]
        if not positives or len(others) == len(positives):
            losses.append(0.0)
            continue
        everything = sum(torch.exp(cosine(anchors[i], x) / tau) for x in others)
        logs = [
            torch.log(torch.exp(cosine(anchors[i], anchors[p]) / tau) / everything)
            for p in positives
        ]
        losses.append(-sum(logs) / len(logs))
    return class_means(labels, losses) + 0 * anchors.sum()


def plain_prototypes(
    vectors: Tensor, labels: Tensor, domains: Tensor, min_count: int = 1
) -> dict[tuple[int, int], Tensor]:
    """Return the mean of each (domain, class) with enough samples, in order of appearance."""
    rows: dict[tuple[int, int], list[Tensor]] = {}
    for row, k, d in zip(vectors, labels.tolist(), domains.tolist(), strict=True):
        rows.setdefault((d, k), []).append(row)
    return {
        pair: sum(found) / len(found) for pair, found in rows.items() if len(found) >= min_count
    }


def plain_alignment(prototypes: dict[tuple[int, int], Tensor], tau: float = 1.0) -> Tensor | float:
    domains_of: dict[int, list[tuple[int, int]]] = {}
    for pair in prototypes:
        domains_of.setdefault(pair[1], []).append(pair)
    shared = {k: pairs for k, pairs in domains_of.items() if len(pairs) >= 2}
    kept = [pair for pairs in shared.values() for pair in pairs]
    total = 0.0
    for k, pairs in shared.items():
        for a in pairs:
            scores = {
                b: torch.exp(cosine(prototypes[a], prototypes[b]) / tau) for b in kept if b != a
            }
            same = sum(score for b, score in scores.items() if b[1] == k)
            total = total - torch.log(same / sum(scores.values())) / len(pairs)
    return total / max(len(shared), 1)
