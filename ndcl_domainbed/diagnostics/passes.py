"""What the network computes in an update, and the gradients of the loss at it.

Forward hooks capture the passes of the minibatches; tensor hooks capture the first backward pass
that reaches the logits. The hooks exist during the update only and change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


class Captured(NamedTuple):
    """The N samples of an update: images, logits (N, K), gradients at logits and at features."""

    inputs: Tensor
    logits: Tensor
    logit_gradients: Tensor
    feature_gradients: Tensor


@dataclass
class Pass:
    """One pass through the network; what is None has not been computed yet."""

    inputs: Tensor
    features: Tensor
    logits: Tensor | None = None
    logit_gradients: Tensor | None = None
    feature_gradients: Tensor | None = None


@dataclass
class Passes:
    """The first passes of an update that have a gradient, up to ``samples`` in all.

    ``other_logits`` tells whether the classifier was given anything but the features of these.
    """

    samples: int
    passes: list[Pass] = field(default_factory=list)
    other_logits: bool = False

    def is_full(self) -> bool:
        """Tell whether all samples have passed."""
        return sum(len(one.inputs) for one in self.passes) >= self.samples

    def inputs(self) -> Tensor:
        """Return what went through the featurizer."""
        return torch.cat([one.inputs for one in self.passes])

    def captured(self) -> Captured | None:
        """Return what the update showed; None if no loss reached all logits and features."""
        columns = [[getattr(one, name) for one in self.passes] for name in Captured._fields]
        if not self.is_full() or any(value is None for column in columns for value in column):
            return None
        return Captured(*map(torch.cat, columns))


@contextmanager
def capture_passes(featurizer: nn.Module, classifier: nn.Module, samples: int) -> Iterator[Passes]:
    """Yield the passes that are made in the block, and forget them at its end."""
    found = Passes(samples)
    handles: list[RemovableHandle] = []

    # An algorithm may copy its modules together with their hooks, hence the tests for identity.
    def capture_features(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if module is featurizer and _has_gradient(output) and not found.is_full():
            one = Pass(inputs[0].detach(), output)
            found.passes.append(one)
            handles.append(_capture_gradient(output, one, "feature_gradients", "logit_gradients"))

    def capture_logits(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if module is not classifier or not _has_gradient(output):
            return
        for one in found.passes:
            if one.features is inputs[0] and one.logits is None:
                one.logits = output.detach()
                handles.append(_capture_gradient(output, one, "logit_gradients", "logits"))
                return
        found.other_logits = True

    handles.append(featurizer.register_forward_hook(capture_features))
    handles.append(classifier.register_forward_hook(capture_logits))
    try:
        yield found
    finally:
        for handle in handles:  # tensors and their hooks refer to each other
            handle.remove()
        found.passes.clear()


def _has_gradient(output: Any) -> bool:
    return torch.is_tensor(output) and output.requires_grad


def _capture_gradient(output: Tensor, one: Pass, name: str, after: str) -> RemovableHandle:
    """Set ``name`` of a pass to the first gradient at ``output`` once ``after`` is set."""

    def capture(gradient: Tensor) -> None:
        if getattr(one, name) is None and getattr(one, after) is not None:
            setattr(one, name, gradient.detach())

    handle: RemovableHandle = output.register_hook(capture)
    return handle
