"""Algorithms whose update looks at the effect of an inner update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ndcl_domainbed.hparams import AT_LEAST_ONE, NOT_NEGATIVE, Hparam, choice, power_uniform
from ndcl_domainbed.testbed import networks
from ndcl_domainbed.testbed.algorithms.base import (
    Algorithm,
    Minibatch,
    Minibatches,
    Shape,
    Unlabeled,
    step,
    to_floats,
)
from ndcl_domainbed.testbed.algorithms.erm import ERM
from ndcl_domainbed.testbed.networks.featurizer import WholeNetwork


class MLDG(ERM):
    """Meta-Learning for Domain Generalization, its first-order variant.

    Li, Yang, Song & Hospedales, "Learning to Generalize: Meta-Learning for Domain
    Generalization", AAAI 2018, arXiv:1710.03463.

    In each update ``n_meta_test`` random domains are the meta-test domains, paired in turn with
    the others. For a pair (i, j): g_i is the gradient of domain i's risk, g_j that of domain j's
    risk after one step of a fresh Adam along g_i. The optimizer gets Σ (g_i + β·g_j)/M, β =
    ``mldg_beta``, M the number of domains.

    Two departures from DomainBed, which trains nothing, silently, when no domain is left for
    meta-training: here at most M - 1 domains are meta-test ones, and a single domain is its own.
    And its un-frozen batch normalization never sees the data, since only copies of the network
    are run; here domain i's pass moves the running statistics.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "mldg_beta": Hparam(1.0, power_uniform(10, -1, 1), within=NOT_NEGATIVE),
        "n_meta_test": Hparam(2, choice([1, 2]), within=AT_LEAST_ONE),
    }

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step; ``loss`` is Σ (risk of i + β · risk of j after the inner step)/M."""
        parameters = list(self.network.parameters())
        count, beta = len(minibatches), self.hparams["mldg_beta"]
        gradients = [torch.zeros_like(parameter) for parameter in parameters]
        losses = []
        for i, j in self._pairs(count):
            size = min(len(minibatches[i][1]), len(minibatches[j][1]))
            train, test = [(x[:size], y[:size]) for x, y in (minibatches[i], minibatches[j])]
            train_loss = F.cross_entropy(self.network(train[0]), train[1])
            train_grads = _gradients(train_loss, parameters)
            test_loss, test_grads = self._after_inner_step(parameters, train_grads, test)
            for total, g_i, g_j in zip(gradients, train_grads, test_grads, strict=True):
                total += g_i / count
                total += beta * g_j / count
            losses.append(train_loss.detach() + beta * test_loss.detach())
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimizer.step()
        return to_floats(loss=torch.stack(losses).sum() / count)

    def _pairs(self, count: int) -> list[tuple[int, int]]:
        """Return (meta-train, meta-test) pairs; each meta-train domain occurs once."""
        order = torch.randperm(count).tolist()
        split = count - min(self.hparams["n_meta_test"], count - 1)
        train, test = order[:split], order[split:] or order
        return [(i, test[position % len(test)]) for position, i in enumerate(train)]

    def _after_inner_step(
        self,
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor],
        minibatch: Minibatch,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the risk after one step of a fresh Adam, and its gradient there.

        The network makes the step itself, and is set back.
        """
        changing = [*parameters, *self.network.buffers()]
        starts = [tensor.detach().clone() for tensor in changing]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        self._adam(parameters).step()
        x, y = minibatch
        loss = F.cross_entropy(self.network(x), y)
        found = _gradients(loss, parameters)
        with torch.no_grad():
            for tensor, start in zip(changing, starts, strict=True):
                tensor.copy_(start)
        return loss, found


def _gradients(loss: Tensor, parameters: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the gradient with respect to each parameter, zero where there is none."""
    return torch.autograd.grad(loss, parameters, materialize_grads=True)


class Fish(Algorithm):
    """Fish: inter-domain gradient matching, by a first-order method.

    Shi, Seely, Torr, Siddharth, Hannun, Usunier & Synnaeve, "Gradient Matching for Domain
    Generalization", ICLR 2022, arXiv:2104.09937, Algorithm 1.

    An inner Adam, whose moments carry over between updates, makes one step per domain, in domain
    order; the weights then move the share ``meta_lr`` of the way to where it ended. So do the
    running statistics of batch normalization.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {
        "meta_lr": Hparam(0.5, choice([0.05, 0.1, 0.5]), within=NOT_NEGATIVE)
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
        self.optimizer_inner = torch.optim.Adam(
            self.network.parameters(),
            lr=self.hparams["lr"],
            weight_decay=self.hparams["weight_decay"],
        )

    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one step; ``loss`` is the risk of the last domain before its inner step."""
        moving = [t for t in self.network.state_dict().values() if t.is_floating_point()]
        starts = [tensor.clone() for tensor in moving]
        for x, y in minibatches:
            loss = F.cross_entropy(self.predict(x), y)
            step(self.optimizer_inner, loss)
        for tensor, start in zip(moving, starts, strict=True):
            tensor.copy_(torch.lerp(start, tensor, self.hparams["meta_lr"]))
        return to_floats(loss=loss)

    def predict(self, x: Tensor) -> Tensor:
        return self.network(x)
