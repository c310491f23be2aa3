"""What every algorithm of the testbed is, and functions that several of them use."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from ndcl_domainbed.hparams import Hparam

Minibatch = tuple[Tensor, Tensor]
"""Images (n_d, …) and labels (n_d,) of one training domain."""

Minibatches = Sequence[Minibatch]
"""A minibatch of each training domain, in domain order."""

Unlabeled = Sequence[Tensor] | None
"""Images of each test domain (domain adaptation), or of each source in two views, (n, 2, …)."""

Shape = Sequence[int]
"""The shape of one input: (C, H, W) of an image, (D,) of a vector."""


class Algorithm(torch.nn.Module, ABC):
    """A domain generalization algorithm, with the interface of DomainBed's.

    ``input_shape`` is that of one input, without the batch dimension; ``num_domains`` counts
    training domains only; ``hparams`` is kept by reference. ``update`` is called in
    train mode, ``predict`` in eval mode. Whatever it must remember from one update to
    the next and is not in its state dict, it keeps in attributes that are optimizers, tensors,
    generators, numbers, or lists and dicts of these, so that an interrupted run can resume.
    """

    HPARAMS: ClassVar[dict[str, Hparam]] = {}
    """The algorithm's own hyper-parameters, and its own values of the shared ones."""

    def __init__(
        self, input_shape: Shape, num_classes: int, num_domains: int, hparams: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.hparams = hparams

    @abstractmethod
    def update(self, minibatches: Minibatches, unlabeled: Unlabeled = None) -> dict[str, float]:
        """Make one training step on one minibatch per domain; return scalars for the record."""

    @abstractmethod
    def predict(self, x: Tensor) -> Tensor:
        """Return the logits (B, K) of a batch of inputs."""


def to_floats(**values: Tensor | float) -> dict[str, float]:
    """Return tensors with one element each (and numbers) as Python numbers.

    All tensors are copied from their device together, so there is one synchronization.
    """
    tensors = {k: v.detach().reshape(()) for k, v in values.items() if torch.is_tensor(v)}
    read = torch.stack(list(tensors.values())).tolist() if tensors else []
    found: dict[str, float] = {k: float(v) for k, v in zip(tensors, read, strict=True)}
    return {k: found[k] if torch.is_tensor(v) else v for k, v in values.items()}


def concatenate(minibatches: Minibatches) -> Minibatch:
    """Return the minibatches of all domains as one, in domain order."""
    return torch.cat([x for x, _ in minibatches]), torch.cat([y for _, y in minibatches])


def batch_sizes(minibatches: Minibatches) -> list[int]:
    """Return how many samples each domain has in the minibatches."""
    return [len(y) for _, y in minibatches]


def domain_indices(minibatches: Minibatches) -> Tensor:
    """Return the index of the domain of each sample of :func:`concatenate`, int64 (B,)."""
    labels = [y for _, y in minibatches]
    return torch.cat([y.new_full((len(y),), domain) for domain, y in enumerate(labels)])


def to_full_precision(values: Tensor) -> Tensor:
    """Return ``values`` in float32 if they come in half precision: losses need it."""
    return values if values.dtype == torch.float64 else values.float()


def mean(values: Sequence[Tensor]) -> Tensor:
    """Return the mean of tensors of one shape."""
    return torch.stack(list(values)).mean(dim=0)


def step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Make one step of ``optimizer`` down the gradient of ``loss``."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
