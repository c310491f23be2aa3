"""What the network makes of the minibatches in an update, and the gradients that come back.

Forward hooks see the passes of the minibatches, hooks of tensors the first backward pass that
reaches the logits. They are there during the update alone and change nothing. They are functions
that know the module they are for, because an algorithm may copy its modules with their hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ndcl_domainbed.training.precision import gradient_scale


class Seen(NamedTuple):
    """An update's N samples: logits (N, K), and the loss's gradients at logits and features."""

    inputs: Tensor
    logits: Tensor
    logit_gradients: Tensor
    feature_gradients: Tensor


@dataclass
class _Pass:
    """One pass of some samples: what went in, and what came out so far."""

    inputs: Tensor
    features: Tensor
    logits: Tensor | None = None
    logit_gradients: Tensor | None = None
    feature_gradients: Tensor | None = None

    def is_complete(self) -> bool:
        return self.logits is not None and self.feature_gradients is not None


@dataclass
class Passes:
    """The first passes with a gradient of an update, up to ``rows`` samples in all.

    ``other_logits`` says that the classifier was given something else than these features.
    """

    rows: int
    passes: list[_Pass] = field(default_factory=list)
    other_logits: bool = False

    def sizes(self) -> list[int]:
        """Return how many samples each pass was of."""
        return [len(one.inputs) for one in self.passes]

    def inputs(self) -> Tensor:
        """Return what went through the featurizer."""
        return _joined([one.inputs for one in self.passes])

    def seen(self) -> Seen | None:
        """Return what the update showed; None if no loss reached all logits and features."""
        if sum(self.sizes()) != self.rows or not all(one.is_complete() for one in self.passes):
            return None
        names = Seen._fields
        return Seen(*(_joined([getattr(one, name) for one in self.passes]) for name in names))


@contextmanager
def watched_passes(featurizer: nn.Module, classifier: nn.Module, rows: int) -> Iterator[Passes]:
    """Yield the passes that are made within the block, of ``rows`` samples; then forget them."""
    found = Passes(rows)
    handles: list[RemovableHandle] = []

    def keep(output: Tensor, one: _Pass, name: str, after: str) -> None:
        handles.append(output.register_hook(_keeper(one, name, after)))

    def see_features(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if module is featurizer and sum(found.sizes()) < rows and _has_gradient(output):
            one = _Pass(inputs[0].detach(), output)
            found.passes.append(one)
            keep(output, one, "feature_gradients", after="logit_gradients")

    def see_logits(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if module is not classifier or not _has_gradient(output):
            return
        of = [one for one in found.passes if one.features is inputs[0] and one.logits is None]
        found.other_logits |= not of
        for one in of[:1]:
            one.logits = output.detach()
            keep(output, one, "logit_gradients", after="logits")

    handles.append(featurizer.register_forward_hook(see_features))
    handles.append(classifier.register_forward_hook(see_logits))
    try:
        yield found
    finally:
        for handle in handles:  # those of tensors too: they hold each other in a ring
            handle.remove()
        found.passes.clear()


def _joined(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def _has_gradient(output: Any) -> bool:
    return torch.is_tensor(output) and output.requires_grad


def _keeper(one: _Pass, name: str, after: str) -> Callable[[Tensor], None]:
    """Return a hook that keeps the first gradient that comes once ``after`` is there.

    Within a network in float16 it comes multiplied by a power of two, which is undone.
    """
    scale = gradient_scale()

    def keep(gradient: Tensor) -> None:
        if getattr(one, name) is None and getattr(one, after) is not None:
            found = gradient.detach()
            setattr(one, name, found if scale == 1 else found / scale)

    return keep
