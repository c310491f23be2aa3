"""The network passes that an update needs, without anything else: what its cost is compared with.

Each function takes an algorithm and minibatches, and makes the forward and backward passes of one
update and its optimizer steps, on inputs of the same sizes, with cross-entropies as losses. Inner
loops, penalties, mixtures and copies of parameters are left out. Where a method is defined by a
pass of its own (the gradients of each sample, distances to each centroid, directions of a walk),
that is in it, as matrix products.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.algorithms.ginidg import class_groups
from ndcl_domainbed.testbed.algorithms.base import joined, sizes, step

Batches = list[tuple[Tensor, Tensor]]


def with_gradients_of_samples(algorithm: Any, batches: Batches) -> None:
    """Fishr: one pass; for each domain the two products of which the variances of its gradients of
    the (linear) classifier are made, and then, since these are compared with those of the other
    domains first, the four of their gradient.
    """
    x, y = joined(batches)
    z = algorithm.featurizer(x)
    logits = algorithm.classifier(z)
    step(algorithm.optimizer, F.cross_entropy(logits, y))
    domains = list(zip(logits.split(sizes(batches)), z.split(sizes(batches)), strict=True))
    with torch.no_grad():
        products = [(errors.T @ features, errors.T @ features) for errors, features in domains]
        for (errors, features), of_domain in zip(domains, products, strict=True):
            for product in of_domain:
                features @ product.T, errors @ product


def with_distances(algorithm: Any, batches: Batches) -> None:
    """BoDA: one domain at a time, and the product with all centroids, forward and backward."""
    pass_by_domain(algorithm, batches)
    centroids = algorithm.train_centroids
    rows = centroids.new_ones(sum(sizes(batches)), centroids.shape[1])
    with torch.no_grad():
        (rows @ centroids.T) @ centroids


def two_passes(algorithm: Any, batches: Batches) -> None:
    """All domains together, twice, and one backward pass and optimizer step: NDCL's."""
    x, y = joined(batches)
    loss = F.cross_entropy(algorithm.network(x), y) + F.cross_entropy(algorithm.network(x), y)
    step(algorithm.optimizer, loss)


def pass_by_domain(algorithm: Any, batches: Batches) -> None:
    """One domain at a time, and one backward pass and optimizer step."""
    losses = [F.cross_entropy(algorithm.network(x), y) for x, y in batches]
    step(algorithm.optimizer, torch.stack(losses).mean())


def meta_learning(algorithm: Any, batches: Batches) -> None:
    """MLDG with two meta-test domains of three: one domain and then another, a step after each, of
    which the first is a new Adam's.
    """
    for optimizer, (x, y) in zip(
        (torch.optim.Adam(algorithm.network.parameters()), algorithm.optimizer),
        batches[:2],
        strict=True,
    ):
        step(optimizer, F.cross_entropy(algorithm.network(x), y))


def walk(algorithm: Any, batches: Batches) -> None:
    """PGrad: nine thirds of minibatches, a step of Adam after each; the products of the ten points
    passed with each other, and with ten numbers; the step that follows them.
    """
    for x, y in batches:
        for own_x, own_y in zip(x.tensor_split(3), y.tensor_split(3), strict=True):
            step(algorithm.optimizer_inner, F.cross_entropy(algorithm.network(own_x), own_y))
    points = ten_points(sum(parameter.numel() for parameter in algorithm.network.parameters()))
    products = [block @ block.T for block in points.split(2**14, dim=1)]
    products[0][0] @ points
    algorithm.optimizer.step()


@functools.lru_cache(maxsize=1)
def ten_points(size: int) -> Tensor:
    """Return ten rows of as many numbers as there are parameters: writing them is no product."""
    return torch.ones(10, size)


def content_and_style(algorithm: Any, batches: Batches) -> None:
    """SagNet: content; style, which does not train the featurizer; featurizer against style."""
    x, y = joined(batches)
    algorithm.optimizer_f.zero_grad()
    step(algorithm.optimizer_c, F.cross_entropy(algorithm.network_c(algorithm.network_f(x)), y))
    algorithm.optimizer_f.step()
    with torch.no_grad():
        z = algorithm.network_f(x)
    step(algorithm.optimizer_s, F.cross_entropy(algorithm.network_s(z), y))
    step(algorithm.optimizer_f, F.cross_entropy(algorithm.network_s(algorithm.network_f(x)), y))


def with_projection(algorithm: Any, batches: Batches) -> None:
    """SelfReg: one pass, and its projection of the features."""
    x, y = joined(batches)
    z = algorithm.featurizer(x)
    loss = F.cross_entropy(algorithm.classifier(z), y) + algorithm.cdpl(z).mean()
    step(algorithm.optimizer, loss)


def with_two_maps(algorithm: Any, batches: Batches) -> None:
    """TCRI: one pass, its two maps of the features, and a classifier of both for each domain."""
    x, y = joined(batches)
    z = algorithm.featurizer(x)
    general, spurious = algorithm.domain_general_featurizer(z), algorithm.spurious_featurizer(z)
    losses = [F.cross_entropy(algorithm.classifier(general), y)]
    both = torch.cat([general, spurious], dim=1).split(sizes(batches))
    for classifier, own, (_, labels) in zip(
        algorithm.spurious_classifiers, both, batches, strict=True
    ):
        losses.append(F.cross_entropy(classifier(own), labels))
    step(algorithm.optimizer, torch.stack(losses).sum())


def with_generator(algorithm: Any, batches: Batches) -> None:
    """GINIDG after its warm-up: one pass, its generator and its two discriminators."""
    x, y = joined(batches)
    domains = torch.arange(len(batches)).repeat_interleave(torch.tensor(sizes(batches)))
    z = algorithm.featurizer(x)
    generated = algorithm.generator(z[: int(class_groups(y, domains).max()) + 1])
    real = algorithm.gdiscriminator(torch.cat([z, generated]), 1.0)
    losses = [
        F.cross_entropy(algorithm.classifier(z), y),
        F.cross_entropy(algorithm.discriminator(z, 1.0), domains),
        algorithm.classifier(generated).logsumexp(dim=1).mean(),
        real.logsumexp(dim=1).mean(),
    ]
    step(algorithm.optimizer, torch.stack(losses).sum())


PASSES: dict[str, Callable[[Any, Batches], None]] = {
    "NDCL": two_passes,
    "Fishr": with_gradients_of_samples,
    "MMD": pass_by_domain,
    "CORAL": pass_by_domain,
    "BoDA": with_distances,
    "TCRI_HSIC": with_two_maps,
    "MLDG": meta_learning,
    "PGrad": walk,
    "SagNet": content_and_style,
    "SelfReg": with_projection,
    "GINIDG": with_generator,
}
"""The passes of the algorithms whose updates cost clearly more than ERM's."""
