"""Principal gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.backend import Algorithm, networks
from ndcl_domainbed.hparams import Hparam, by_dataset, integer, power_uniform
from ndcl_domainbed.testbed.algorithms.base import (
    Minibatch,
    Minibatches,
    Shape,
    Unlabeled,
    step,
    to_floats,
)
from ndcl_domainbed.testbed.networks.featurizer import WholeNetwork

_ROUNDS = 3
_DIRECTIONS = 4
_OUTER_LR = 0.1
_BLOCK = 2**14
"""Parameters processed at once, so that their trajectory fits in a processor's cache."""


def principal_gradient(trajectory: Tensor) -> Tensor:
    """Return the principal gradient (P,) of a trajectory of parameters (T, P).

    With δ the first row minus the last, it is |δ| · Σ_j ω_j ±v_j over the (at most)
    four principal directions v_j of the rows, each oriented to agree with δ; ω are the eigenvalues
    of the covariance, normalized to length 1. Its length is that of δ. Zero if nothing moved.

    The directions come from the T×T Gram matrix of the centered rows; those without variance are
    left out.
    """
    gram = _centered_gram(trajectory)
    values, vectors = torch.linalg.eigh(gram)
    values, vectors = values.flip(0)[:_DIRECTIONS].clamp(min=0), vectors.flip(1)[:, :_DIRECTIONS]
    along = gram[0] @ vectors - gram[-1] @ vectors  # ⟨δ, Cᵀu_j⟩
    signs = torch.where(along > 0, 1.0, -1.0)
    lengths = values.sqrt()  # |Cᵀu_j|
    floor = 1e-7 * lengths[0]  # below it a direction is rounding noise
    tiny = torch.finfo(values.dtype).tiny
    weights = torch.where(lengths > floor, values, 0.0)
    weights = weights / weights.norm().clamp(min=tiny) / lengths.clamp(min=tiny)
    length = (gram[0, 0] + gram[-1, -1] - 2 * gram[0, -1]).clamp(min=0).sqrt()  # |δ|
    shares = vectors @ (length * weights * signs)
    shares -= shares.mean()  # in place of the rows, which are long
    return shares.to(trajectory.dtype).to(trajectory.device) @ trajectory


def _centered_gram(rows: Tensor) -> Tensor:
    """Return the products (T, T), float64 on the CPU, of ``rows`` (T, P) less their mean.

    The differences from the first row are multiplied, and the products centered: rows are close to
    each other, and the common part would swamp the differences.
    """
    products = []
    for block in rows.split(_BLOCK, dim=1):
        apart = block[1:] - block[0]
        products.append(apart @ apart.T)
    gram = F.pad(torch.stack(products).cpu().double().sum(dim=0), (1, 0, 1, 0))
    return gram - gram.mean(dim=0) - gram.mean(dim=1, keepdim=True) + gram.mean()


class PGrad(Algorithm):
    """PGrad: a step along the principal directions of a trajectory through the domains.

    Wang, Grigsby & Qi, "PGrad: Learning Principal Gradients For Domain Generalization", ICLR 2023,
    arXiv:2305.01134.

    In each update an inner Adam, whose moments carry over between updates, walks three rounds
    through the domains, in random order, on a third of each minibatch at a time. The weights are
    set back and then follow :func:`principal_gradient` by SGD with learning rate 0.1. An empty
    third is skipped (the authors' code runs the network on an empty batch).

    The walk moves the running statistics of batch normalization, which the authors' code leaves
    at their initial values.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "lr": Hparam(
            by_dataset(small=1e-3, other=5e-5, vectors=1e-3),
            by_dataset(
                small=power_uniform(10, -4.5, -2.5),
                other=5e-5,
                vectors=power_uniform(10, -4.5, -2.5),
            ),
        ),
        "weight_decay": Hparam(
            0.0,
            by_dataset(
                small=0.0,
                other=power_uniform(10, -6, -4),
                vectors=power_uniform(10, -6, -2),
            ),
        ),
        "batch_size": Hparam(
            by_dataset(small=64, other=32),
            by_dataset(
                small=integer(power_uniform(2, 3, 9)),
                other=32,
                vectors=integer(power_uniform(2, 3, 5.5)),
            ),
        ),
    }

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
    ) -> None:
        super().__init__(input_shape, num_classes, num_domains, hparams)
        featurizer = networks.Featurizer(input_shape, self.hparams)
        classifier = networks.Classifier(
            featurizer.n_outputs, num_classes, self.hparams["nonlinear_classifier"]
        )
        self.network = WholeNetwork(featurizer, classifier)
        self.optimizer_inner = torch.optim.Adam(self.network.parameters(), lr=self.hparams["lr"])
        self.optimizer = torch.optim.SGD(
            self.network.parameters(), lr=_OUTER_LR, weight_decay=self.hparams["weight_decay"]
        )

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step; ``loss`` is the cross-entropy before the last inner step."""
        parameters = list(self.network.parameters())
        lengths = [p.numel() for p in parameters]
        walk = self._walk(minibatches)
        trajectory = parameters[0].new_empty(len(walk) + 1, sum(lengths))
        _flatten(parameters, trajectory[0])
        for row, (x, y) in zip(trajectory[1:], walk, strict=True):
            loss = F.cross_entropy(self.predict(x), y)
            step(self.optimizer_inner, loss)
            _flatten(parameters, row)
        gradients = principal_gradient(trajectory).split(lengths)
        with torch.no_grad():
            for parameter, value, gradient in zip(
                parameters, trajectory[0].split(lengths), gradients, strict=True
            ):
                parameter.copy_(value.view_as(parameter))
                parameter.grad = gradient.view_as(parameter)
        self.optimizer.step()
        return to_floats(loss=loss)

    @staticmethod
    def _walk(minibatches: Minibatches) -> list[Minibatch]:
        """Return the parts of the minibatches in the order in which they are visited."""
        order = np.random.permutation(len(minibatches))
        parts = []
        for turn in range(_ROUNDS):
            for domain in order:
                x, y = minibatches[domain]
                start, end = turn * len(y) // _ROUNDS, (turn + 1) * len(y) // _ROUNDS
                if end > start:
                    parts.append((x[start:end], y[start:end]))
            order = order[np.random.permutation(len(order))]
        return parts

    def predict(self, x: Tensor) -> Tensor:
        return self.network(x)


def _flatten(parameters: Sequence[Tensor], row: Tensor) -> None:
    """Write all parameters into ``row`` (P,)."""
    torch.cat([parameter.detach().flatten() for parameter in parameters], out=row)
